"""Dramatiq's Redis broker, with workers that are woken for a message and lose none.

Dramatiq's own consumers look for messages at intervals: seldom, and a lone message waits; often,
and an idle worker burns its core. Ours sleep on a subscription, and whoever enqueues a message
wakes them. They still look once every `dramatiq_worker_timeout`, should a wake-up be lost, and for
the sake of messages that somebody else's program enqueued.

Dramatiq's fetch notes messages as this worker's before it answers. If the answer is lost, or holds
something unreadable, Dramatiq forgets them, and nobody else gets them while this worker lives. Ours
compare what the server says they have with what they do have, every few seconds, and give back the
rest.
"""

import inspect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from itertools import batched
from threading import Event, Lock
from time import monotonic
from typing import Any, cast

import redis
import structlog
from dramatiq import Message, MessageProxy
from dramatiq.broker import Broker, get_broker
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import current_millis, dq_name
from dramatiq.errors import ActorNotFound, ConnectionClosed
from dramatiq.middleware import SkipMessage
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tasks.engine.broker.messages import decoded, is_number
from tasks.engine.errors import format_error

logger = structlog.get_logger(__name__)

#: Whoever enqueues waits no longer than this for the connection, and again for the answer (s).
TIMEOUT_SECONDS = 0.4

#: How often a consumer compares what it has with what the server says it has (s).
RECONCILE_SECONDS = 5.0

#: Messages that one exchange with the server deals with.
IDS_PER_EXCHANGE = 500

#: The end of a traceback is kept with a dead letter, so many characters of it.
LONGEST_ERROR = 20_000

#: Replaces what a hash has under a key, unless that is gone: it would come back to life.
REPLACE = """
if redis.call("hexists", KEYS[1], ARGV[1]) == 1 then
    redis.call("hset", KEYS[1], ARGV[1], ARGV[2])
end
"""

#: Says where messages are, all at one moment, by the numbers of `Whereabouts`. Looking through a
#: queue once is far quicker than LPOS for each: 20 ms for 200 ids that a queue of 100,000 lacks,
#: against 300 ms; 1 ms if they are at its head.
WHERE = """
local queue, heartbeats, acks = KEYS[1], KEYS[2], KEYS[3]
local alive_since, name = ARGV[1], ARGV[2]
local ids, where, sought, left = {}, {}, {}, 0
for i = 3, #ARGV do
    ids[i - 2] = ARGV[i]
    where[i - 2] = 0
end
for i, id in ipairs(ids) do
    if redis.call("hexists", queue .. ".DQ.msgs", id) == 1 then
        where[i] = 1
    elseif redis.call("hexists", queue .. ".msgs", id) == 1 then
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


class Whereabouts(Enum):
    """Where the broker has a message."""

    #: Nobody has it.
    NOWHERE = 0
    #: In its queue, or waiting to be tried again.
    WAITING = 1
    #: A living client has fetched it and not yet acknowledged.
    FETCHED = 2
    #: So has one that has given no sign of life for `heartbeat_timeout`, or whose clock is slow.
    FETCHED_BY_SILENT = 3


class ActiveMessages:
    """The messages of one queue that this process has fetched and not done with.

    They go by the broker's ids. The consumer's thread alone adds to them; any thread may be done
    with one.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = Lock()
        self._ids: set[bytes] = set()
        # Those that no worker has been given yet: they end with the consumer.
        self._kept: set[bytes] = set()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._ids)

    def ids(self) -> frozenset[bytes]:
        """Return what there is at this moment."""
        with self._lock:
            return frozenset(self._ids)

    def add(self, *ids: bytes) -> None:
        """Take up what the consumer has fetched, and keeps for now."""
        with self._lock:
            self._ids.update(ids)
            self._kept.update(ids)

    def pass_on(self, key: bytes) -> None:
        """Note that a message goes to the workers, who outlive the consumer."""
        with self._lock:
            self._kept.discard(key)

    def remove(self, *ids: bytes) -> None:
        """Have done with these."""
        with self._lock:
            self._ids.difference_update(ids)
            self._kept.difference_update(ids)

    def forget_kept(self) -> None:
        """Forget what went with a consumer."""
        with self._lock:
            self._ids -= self._kept
            self._kept.clear()


class WakingBroker(RedisBroker):
    """A RedisBroker whose `enqueue` gives up soon, and wakes those who wait."""

    def __init__(self, *, url: str, **options: Any) -> None:
        """Prepare to use the server at `url`; `options` are RedisBroker's."""
        super().__init__(url=url, **options)
        # Only its commands are used: the same ones, by an impatient client.
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        #: A client that gives up soon.
        self.short_timeout_client: redis.Redis = client
        self._sender = RedisBroker(client=client, **{**options, "middleware": []})
        self._where = client.register_script(WHERE)
        self._replace = self.client.register_script(REPLACE)
        self._active: dict[str, ActiveMessages] = {}

    @property
    def consumer_class(self) -> type["WakingConsumer"]:
        """What looks for messages in a worker."""
        return WakingConsumer

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Put a message into its queue.

        A message with the option `delivery` keeps that as its name in the broker, so that whoever
        sent it can ask later whether the broker still has it (`where`).

        Raises:
            redis.RedisError: the broker cannot be reached, or did not answer in time.
            TypeError: the actor takes no such arguments.
            ValueError: an argument is out of the bounds that the actor's `check` knows.
        """
        delivery = message.options.get("delivery")
        if delivery is None:
            # A run's were checked when it was owed, perhaps by another version: its actor says what
            # is wrong with them.
            if "redis_message_id" not in message.options:  # Else it has been through here before.
                check_arguments(self, message)
            return super().enqueue(message, delay=delay)
        message = message.copy(options={"redis_message_id": delivery})
        if delay is not None:
            message = message.copy(
                queue_name=dq_name(message.queue_name), options={"eta": current_millis() + delay}
            )
        self.emit_before("enqueue", message, delay)
        self.do_enqueue(message.queue_name, delivery, message.encode())
        self.emit_after("enqueue", message, delay)
        return message

    def do_enqueue(self, queue_name: str, delivery: str, data: bytes) -> None:
        """Put an encoded message into a queue and wake its consumers."""
        self._sender.do_enqueue(queue_name, delivery, data)
        self._wake(queue_name)

    def do_requeue(self, queue_name: str, *deliveries: str | bytes) -> None:
        """Give messages back to their queue and wake its consumers."""
        self._dispatch("requeue")(queue_name, *deliveries)
        self._wake(queue_name)

    def where(self, queue_name: str, deliveries: Sequence[str]) -> dict[str, Whereabouts]:
        """Say where messages are that were sent with these options `delivery`.

        This costs one exchange with the server for every 500 of them.

        Args:
            queue_name: their queue's name.
            deliveries: any number of them.

        Raises:
            redis.RedisError: the broker cannot be reached, or did not answer in time.
        """
        queue = f"{self.namespace}:{queue_name}"
        keys = [queue, f"{self.namespace}:__heartbeats__", f"{self.namespace}:__acks__"]
        found: dict[str, Whereabouts] = {}
        for some in batched(dict.fromkeys(deliveries), IDS_PER_EXCHANGE):
            alive_since = current_millis() - self.heartbeat_timeout
            codes = cast("list[int]", self._where(keys, [alive_since, queue_name, *some]))
            found |= dict(zip(some, map(Whereabouts, codes), strict=True))
        return found

    def close(self) -> None:
        """Close the connections of both clients."""
        super().close()
        self.client.close()
        self.short_timeout_client.close()

    def active(self, queue_name: str) -> ActiveMessages:
        """Return what this process has in hand of a queue; it outlives the queue's consumers."""
        return self._active.setdefault(queue_name, ActiveMessages())

    def add_error(self, queue_name: str, key: bytes, error: str) -> None:
        """Write into a message that waits or was fetched why it failed, if it is still there.

        Into what is stored, not what was run: an actor may have changed its arguments.

        Raises:
            redis.RedisError: the broker cannot be reached, or did not answer in time.
        """
        messages = f"{self.namespace}:{queue_name}.msgs"
        message = decoded(cast("bytes | None", self.client.hget(messages, cast("str", key))))
        if message:
            message = message.copy(options={"traceback": error[-LONGEST_ERROR:]})
            self._replace([messages], [key, message.encode()])

    def _wake(self, queue_name: str) -> None:
        # They look by themselves, too, if only every so often.
        with suppress(RedisError):
            self._sender.client.publish(self.channel(queue_name), b"")

    def channel(self, queue_name: str) -> str:
        """Return the name of the channel on which a queue's consumers are woken."""
        return f"{self.namespace}:{queue_name}.wake"


class WakingConsumer(_RedisConsumer):
    """A consumer that sleeps until a message comes, or until it may fetch one again.

    It belongs to one thread, which restarts it when it raises ConnectionClosed. Workers' threads
    call `ack` and `nack`, which Dramatiq repeats for as long as these raise ConnectionClosed.
    """

    broker: WakingBroker

    def __init__(self, broker: WakingBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        """Give back what an earlier consumer lost, and subscribe; from here on nothing is missed.

        Raises:
            ConnectionClosed: the broker is away.
        """
        # Dramatiq's own consumer sleeps for `timeout` when it finds nothing: that is our part.
        super().__init__(broker, queue_name, prefetch, timeout=0)
        self._longest_sleep = timeout / 1000
        self._room = Event()
        self._fetched: deque[Message[Any]] = deque()
        self._active = broker.active(queue_name)
        # Dramatiq throws away what was delayed when the connection breaks.
        self._active.forget_kept()
        with away_as_closed():
            self._reconcile()
            self._subscription = broker.client.pubsub(ignore_subscribe_messages=True)
            self._subscription.subscribe(broker.channel(queue_name))

    @property
    def outstanding_message_count(self) -> int:
        """How many messages this process has of this queue."""
        return len(self._active)

    def __next__(self) -> MessageProxy | None:
        """Return a message; sleep and return None where there is none.

        Raises:
            ConnectionClosed: the broker is away.
        """
        with away_as_closed():
            if monotonic() >= self._reconcile_at:
                self._reconcile()
            if not self._fetched:
                self._room.clear()
                # Asked after that: either there is room now, or whoever makes some wakes us.
                room = self.prefetch - self.outstanding_message_count
                if room <= 0 or not self._fetch(room):
                    self._sleep(full=room <= 0)
            if not self._fetched:
                return None
        message = self._fetched.popleft()
        # Dramatiq keeps those with an `eta` with the consumer.
        if message.options.get("eta") is None:
            self._active.pass_on(id_of(message))
        return MessageProxy(message)

    def ack(self, message: MessageProxy) -> None:
        """Have done with a message.

        Raises:
            ConnectionClosed: the broker is away; the message is still in hand.
        """
        with away_as_closed():
            self.broker.do_ack(self.queue_name, id_of(message))
        self._done_with(message)

    def nack(self, message: MessageProxy) -> None:
        """Have done with a message that failed: it becomes a dead letter, with its error.

        One that the ledger sent and whose actor this process does not know is dropped instead: its
        run is in its row, for somebody else to do.

        Raises:
            ConnectionClosed: the broker is away; the message is still in hand.
        """
        if "delivery" in message.options and message.actor_name not in self.broker.actors:
            self.ack(message)
            return
        with away_as_closed():
            self.broker.add_error(self.queue_name, id_of(message), error_of(message))
            self.broker.do_nack(self.queue_name, id_of(message))
        self._done_with(message)

    def requeue(self, messages: Iterable[MessageProxy | Message[Any]]) -> None:
        """Give messages back that nobody has begun.

        If the broker is away they are no longer in hand all the same: the next consumer gives them
        back, or another worker takes them when this one is gone.
        """
        ids = [id_of(message) for message in messages]
        if not ids:
            return
        try:
            self.broker.do_requeue(self.queue_name, *ids)
        except (RedisError, OSError) as error:
            logger.warning(
                "messages not given back yet",
                queue=self.queue_name,
                messages=len(ids),
                error=str(error),
            )
        finally:
            self._active.remove(*ids)

    def close(self) -> None:
        """Give back what was fetched and not handed out, and the subscription."""
        self.requeue(self._fetched)
        self._fetched.clear()
        with suppress(RedisError, OSError):
            self._subscription.close()
        super().close()

    def _done_with(self, message: MessageProxy) -> None:
        # Not if the server was not told: it counts as in hand until then, or it would be run again.
        self._active.remove(id_of(message))
        self._room.set()

    def _fetch(self, room: int) -> bool:
        """Fetch so many messages; say whether there were any, readable or not."""
        contents = cast("list[bytes | None]", self.broker.do_fetch(self.queue_name, room))
        messages = [decoded(data) for data in contents]
        sound = [message for message in messages if message and not self._flaw(message)]
        # All at once, or what waits here would seem lost.
        self._active.add(*map(id_of, sound))
        self._fetched.extend(sound)
        if len(sound) < len(contents):
            self._reconcile()
        return bool(contents)

    def _reconcile(self) -> None:
        """Give back what the server has down as ours and we have not.

        That is what a lost reply held, and what nobody could read. A fetch whose reply was lost may
        even be carried out later, by a server that was held up: hence from time to time.
        """
        self._reconcile_at = monotonic() + RECONCILE_SECONDS
        # Only this thread adds to what is in hand, so what the server names and was not in hand
        # before it was asked is lost. What workers are done with meanwhile was in hand; and each
        # of the scripts below does nothing to an id that is no longer down as ours.
        known = self._active.ids()
        acks = f"{self.broker.namespace}:__acks__.{self.broker.broker_id}.{self.queue_name}"
        ours = cast("set[bytes]", self.broker.client.smembers(acks))
        for ids in batched(ours - known, IDS_PER_EXCHANGE):
            self._give_back(ids)

    def _give_back(self, ids: Sequence[bytes]) -> None:
        """Put lost messages back into the queue, and what is none to the dead letters."""
        messages = f"{self.broker.namespace}:{self.queue_name}.msgs"
        contents = self.broker.client.hmget(messages, cast("list[str]", list(ids)))
        lost = []
        for key, data in zip(ids, cast("list[bytes | None]", contents), strict=True):
            message = decoded(data)
            flaw = self._flaw(message, key) if message else "It is none of Dramatiq's messages."
            if data is None:  # Nothing to be kept.
                flaw = "There is an id alone."
                self.broker.do_ack(self.queue_name, key)
            elif flaw:
                self.broker.add_error(self.queue_name, key, flaw)
                self.broker.do_nack(self.queue_name, key)
            else:
                lost.append(key)
                continue
            logger.error(
                "unreadable message taken from the queue",
                queue=self.queue_name,
                id=repr(key)[:100],
                reason=flaw,
            )
        if lost:
            self.broker.do_requeue(self.queue_name, *lost)
            logger.warning("lost messages given back", queue=self.queue_name, messages=len(lost))

    def _flaw(self, message: Message[Any], key: bytes | None = None) -> str:
        """Say why Dramatiq could not deal with a message; empty if it could.

        Args:
            message: one that was read.
            key: what it is stored under, where that is known.
        """
        options = message.options
        try:
            own = id_of(message)
        except (KeyError, AttributeError, UnicodeEncodeError):
            return "Its option redis_message_id is missing or no text."
        if key is not None and own != key:
            return "It is stored under another id than its option redis_message_id."
        if message.queue_name != self.queue_name:
            return f"It belongs to the queue {message.queue_name!r}, not {self.queue_name!r}."
        if options.get("eta") is not None and not is_number(options["eta"]):
            return "Its option eta is no number."
        if options.get("throws"):  # A class, which no message can hold.
            return "It has the option throws, which only an actor can have."
        return ""

    def _sleep(self, *, full: bool) -> None:
        if full:
            self._room.wait(self._longest_sleep)
            return
        # What came since the queue was found empty waits in the socket; all of it is one call.
        woken = self._subscription.get_message(timeout=self._longest_sleep)
        while woken:
            woken = self._subscription.get_message(timeout=0)


@contextmanager
def away_as_closed() -> Iterator[None]:
    """Turn every error of the broker's into the one after which Dramatiq tries again.

    It takes others, time-outs among them, for its own bugs, and gives the message or the thread up.

    Raises:
        ConnectionClosed: instead.
    """
    try:
        yield
    except (RedisError, OSError) as error:
        raise ConnectionClosed(error) from None


def id_of(message: MessageProxy | Message[Any]) -> bytes:
    """Return what the broker calls a message."""
    return cast("str", message.options["redis_message_id"]).encode()


def error_of(message: MessageProxy) -> str:
    """Return why a message failed, for its dead letter."""
    exception = message._exception  # noqa: SLF001  (Dramatiq has no other way to read it)
    if isinstance(exception, SkipMessage):
        return f"It was not run: {exception}."
    if isinstance(exception, ActorNotFound):
        return f"This worker's version of the code has no actor {message.actor_name!r}."
    if exception is not None:
        return f"{format_error(exception).rstrip()}\n"
    return str(message.options.get("traceback") or "It was given up without an error.")


def check_arguments(broker: Broker, message: Message[Any]) -> None:
    """Refuse a message that its actor could do nothing with, if this process knows the actor.

    Raises:
        TypeError: the actor takes no such arguments.
        ValueError: an argument is out of the bounds that the actor's `check` knows.
    """
    actor = broker.actors.get(message.actor_name)
    if actor is None:
        return
    try:
        bound = inspect.signature(actor.fn).bind(*message.args, **message.kwargs)
    except TypeError as error:
        raise TypeError(f"{message.actor_name}: {error}") from error
    if check := actor.options.get("check"):
        bound.apply_defaults()
        check(*bound.args, **bound.kwargs)


def short_timeout_client() -> "redis.Redis":
    """Return a client of this process's broker that gives up soon."""
    return cast("WakingBroker", get_broker()).short_timeout_client


def queue_key(name: str) -> str:
    """Return what the broker calls a queue."""
    return f"{cast('WakingBroker', get_broker()).namespace}:{name}"
