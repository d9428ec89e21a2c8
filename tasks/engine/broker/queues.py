"""How many messages the broker has in its queues."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import batched

from redis.exceptions import RedisError

from tasks.engine.broker.keys import probe_key
from tasks.engine.broker.messages import decoded
from tasks.engine.broker.moments import moment_of
from tasks.engine.broker.waking import current_broker

#: What redis-py puts before the server's own words.
ANNOTATION = re.compile(r"^Command # \d+ \(.*?\) of pipeline caused error: ", re.DOTALL)

#: How long the key stays that is written to see whether the broker accepts writes.
PROBE_MILLISECONDS = 1_000


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """How many messages the broker has in a queue.

    Attributes:
        running: messages that a worker has fetched and not yet acknowledged.
        delayed: those that are retried later, after a failure.
        oldest_age_seconds: since the message at the head was sent; None if none waits, or
            if it does not say when.
    """

    name: str
    waiting: int
    running: int
    delayed: int
    dead: int
    oldest_age_seconds: float | None


def look_at_queues(names: Sequence[str], now: datetime) -> tuple[tuple[QueueStatus, ...], str]:
    """Return the queues with these names, and no error; or none, and why the broker failed."""
    try:
        return read_queues(names, now), ""
    except RedisError as error:
        return (), ANNOTATION.sub("", str(error)) or type(error).__name__


def read_queues(names: Sequence[str], now: datetime) -> tuple[QueueStatus, ...]:
    """Ask the broker what it has, in two exchanges, and whether it accepts writes.

    Raises:
        redis.RedisError: it cannot be reached, accepts no writes (its memory is full, or it is a
            replica), or does not answer as Dramatiq's would.
    """
    broker = current_broker()
    keys = [broker.keys(name) for name in names]
    # In a transaction, or a message that is fetched meanwhile would count twice or not at all.
    with broker.short_timeout_client.pipeline(transaction=True) as pipe:
        pipe.set(probe_key(broker.namespace), "", px=PROBE_MILLISECONDS)
        for queue in keys:
            pipe.llen(queue.waiting)
            pipe.hlen(queue.messages)
            pipe.hlen(queue.delayed_messages)
            pipe.zcard(queue.dead)
            pipe.lindex(queue.waiting, 0)
        counted = list(batched(pipe.execute()[1:], 5))
        for queue, (*_, head) in zip(keys, counted, strict=True):
            pipe.hget(queue.messages, head or b"")
        heads = pipe.execute()
    return tuple(
        QueueStatus(
            name=name,
            waiting=waiting,
            running=max(0, kept - waiting),
            delayed=delayed,
            dead=dead,
            oldest_age_seconds=age_of_message(message, now),
        )
        for name, (waiting, kept, delayed, dead, _), message in zip(
            names, counted, heads, strict=True
        )
    )


def age_of_message(data: bytes | None, now: datetime) -> float | None:
    """Return how many seconds ago an encoded message was sent; None if nothing says so."""
    message = decoded(data)
    sent_at = moment_of(message.message_timestamp) if message else None
    return max(0.0, (now - sent_at).total_seconds()) if sent_at else None
