"""What the broker has in its queues."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import batched

from dramatiq import Message
from dramatiq.errors import DecodeError
from redis.exceptions import RedisError

from tasks.engine.broker.waking import queue_key, short_timeout_client

#: A key that is written to see whether the broker takes anything, and how long it stays (ms).
PROBE = "tidy:probe"
PROBE_LASTS = 1_000


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """What the broker has in a queue.

    Attributes:
        waiting: messages that no worker has fetched.
        running: those that a worker has fetched and not yet acknowledged.
        delayed: those to be sent again after a failure.
        dead: those given up; the broker keeps them for a week.
        oldest_age_seconds: since the next message was sent; None if none waits.
    """

    name: str
    waiting: int
    running: int
    delayed: int
    dead: int
    oldest_age_seconds: float | None


def look_at_queues(names: Sequence[str], now: datetime) -> tuple[tuple[QueueStatus, ...], str]:
    """Ask the broker what it has.

    Returns:
        The queues of these names, and no error; or nothing, and why it could not be asked.
    """
    try:
        return read_queues(names, now), ""
    except RedisError as error:
        return (), str(error) or type(error).__name__


def read_queues(names: Sequence[str], now: datetime) -> tuple[QueueStatus, ...]:
    """Ask the broker what it has in queues, in three exchanges, and whether it takes more.

    Raises:
        redis.RedisError: it cannot be reached, takes nothing, as its memory is full or it is a
            replica, or does not answer as Dramatiq's would.
    """
    keys = [queue_key(name) for name in names]
    short_timeout_client().set(PROBE, "", px=PROBE_LASTS)
    # At one moment, or a message that is fetched meanwhile would count twice or not at all.
    with short_timeout_client().pipeline(transaction=True) as pipe:
        for key in keys:
            pipe.llen(key)
            pipe.hlen(f"{key}.msgs")
            pipe.hlen(f"{key}.DQ.msgs")
            pipe.zcard(f"{key}.XQ")
            pipe.lindex(key, 0)
        counted = list(batched(pipe.execute(), 5))
        for key, (*_, head) in zip(keys, counted, strict=True):
            pipe.hget(f"{key}.msgs", head or b"")
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
    """Return how many seconds ago an encoded message was sent; None if it is none."""
    try:
        sent_at = Message.decode(data or b"").message_timestamp / 1000
    except (DecodeError, TypeError, OverflowError):
        return None
    return max(0.0, now.timestamp() - sent_at)
