"""Where the broker has a message: asked of the server by a script, for many messages at once."""

from enum import Enum


class Whereabouts(Enum):
    """Where the broker has a message."""

    NOWHERE = 0
    #: In its queue, or delayed until it is retried.
    WAITING = 1
    #: A live client has fetched it and not yet acknowledged it.
    FETCHED = 2
    #: As above, but the client has sent the broker no heartbeat for `heartbeat_timeout`: it may be
    #: gone. (Or its clock is slow: each client stamps its own heartbeats.)
    FETCHED_BY_SILENT = 3


#: Returns the numbers of `Whereabouts`, all of one moment. To read a queue once is far quicker than
#: LPOS for each: 20 ms for 200 ids that a queue of 100,000 lacks, against 300 ms; 1 ms if they are
#: at its head.
LOCATE = """
local queue, messages, delayed = KEYS[1], KEYS[2], KEYS[3]
local heartbeats, acks = KEYS[4], KEYS[5]
local alive_since, name = ARGV[1], ARGV[2]
local ids, where, sought, left = {}, {}, {}, 0
for i = 3, #ARGV do
    ids[i - 2] = ARGV[i]
    where[i - 2] = 0
end
for i, id in ipairs(ids) do
    if redis.call("hexists", delayed, id) == 1 then
        where[i] = 1
    elseif redis.call("hexists", messages, id) == 1 then
        sought[id] = i
        left = left + 1
    end
end
local function look_at_clients(from, to, found)
    for _, client in ipairs(redis.call("zrangebyscore", heartbeats, from, to)) do
        if left == 0 then
            break
        end
        local key = acks .. "." .. client .. "." .. name
        for i, has in ipairs(redis.call("smismember", key, unpack(ids))) do
            if has == 1 and sought[ids[i]] then
                where[i] = found
                sought[ids[i]] = nil
                left = left - 1
            end
        end
    end
end
look_at_clients("(" .. alive_since, "+inf", 2)
local from = 0
while left > 0 do
    local part = redis.call("lrange", queue, from, from + 999)
    if #part == 0 then
        break
    end
    for _, id in ipairs(part) do
        if sought[id] then
            where[sought[id]] = 1
            sought[id] = nil
            left = left - 1
        end
    end
    from = from + 1000
end
look_at_clients("-inf", alive_since, 3)
return where
"""
