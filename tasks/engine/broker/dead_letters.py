"""Dead letters: messages that Dramatiq has given up, which the broker keeps for a week.

Runs of recorded actors never become dead letters: they end as failed, in their row. What is left
are messages of actors that are not recorded, that this code does not know, or that came too late.

While the broker is away, each function raises redis.RedisError.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from typing import Any, cast
from uuid import UUID, uuid5

from dramatiq import Message

from tasks.engine.broker.keys import IDS_PER_EXCHANGE
from tasks.engine.broker.messages import decoded
from tasks.engine.broker.moments import moment_of
from tasks.engine.broker.waking import current_broker

#: Characters of an actor's name that are shown.
MAX_NAME_LENGTH = 200

#: How an id that is no plain text begins when it is shown.
HEX_PREFIX = "hex:"

#: Stands for an unknown moment among others.
EPOCH = datetime.fromtimestamp(0, tz=UTC)


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One message that was given up.

    Attributes:
        id: its id in the broker; in hexadecimal after `hex:` where that is no plain text.
        died_at: when it was given up; None if the broker has no moment for that.
        message: None if Dramatiq could not decode it.
    """

    queue: str
    id: str
    died_at: datetime | None
    message: Message[Any] | None

    @property
    def actor(self) -> str:
        """Its name; empty if unknown."""
        return escaped(self.message.actor_name)[:MAX_NAME_LENGTH] if self.message else ""

    @property
    def error(self) -> str:
        """The traceback of its last failure; empty if it has none."""
        if self.message is None:
            return ""
        lines = str(self.message.options.get("traceback", "")).split("\n")
        return "\n".join(map(escaped, lines))

    @property
    def arguments(self) -> str:
        """Its arguments, as Python would write them."""
        if self.message is None:
            return ""
        positional = [repr(value) for value in self.message.args]
        named = [f"{escaped(name)}={value!r}" for name, value in self.message.kwargs.items()]
        return ", ".join([*positional, *named])

    @property
    def retry_id(self) -> UUID | None:
        """The id of the message that it is retried as: always the same one."""
        try:
            return uuid5(UUID(self.message.message_id), "retry") if self.message else None
        except ValueError:
            return None


def count(queues: Sequence[str]) -> int:
    broker = current_broker()
    with broker.short_timeout_client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.zcard(broker.keys(queue).dead)
        return sum(pipe.execute())


def read(queues: Sequence[str], *, limit: int) -> list[DeadLetter]:
    """Return the latest dead letters of some queues, the latest first, with two exchanges."""
    broker = current_broker()
    with broker.short_timeout_client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.zrevrange(broker.keys(queue).dead, 0, limit - 1)
        ids = [[_id_of(key) for key in keys] for keys in pipe.execute()]
    found = _letters(dict(zip(queues, ids, strict=True)))
    return sorted(found, key=lambda letter: letter.died_at or EPOCH, reverse=True)[:limit]


def find(ids: Sequence[tuple[str, str]]) -> list[DeadLetter]:
    """Return the dead letters with these queues and ids that still exist."""
    by_queue: dict[str, list[str]] = {}
    for queue, letter in ids:
        by_queue.setdefault(queue, []).append(letter)
    return _letters(by_queue)


def all_of(
    queues: Sequence[str], *, actor: str = "", until: datetime | None = None
) -> Iterator[list[DeadLetter]]:
    """Yield the dead letters of some queues in batches: of one actor, given up by a moment.

    Those of which nobody knows when they were given up are always among them.
    """
    for queue in queues:
        for ids in batched(_ids(queue), IDS_PER_EXCHANGE):
            yield [
                letter
                for letter in _letters({queue: ids})
                if not actor or letter.actor == actor
                if until is None or (letter.died_at or EPOCH) <= until
            ]


def discard(letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Delete dead letters; return those that still existed."""
    broker = current_broker()
    with broker.short_timeout_client.pipeline(transaction=True) as pipe:
        for letter in letters:
            keys, key = broker.keys(letter.queue), _key_of(letter.id)
            pipe.zrem(keys.dead, key)
            pipe.hdel(keys.dead_messages, cast("str", key))
        removed = pipe.execute()[::2]
    return [letter for letter, gone in zip(letters, removed, strict=True) if gone]


def _ids(queue: str) -> list[str]:
    broker = current_broker()
    ids = broker.short_timeout_client.zrevrange(broker.keys(queue).dead, 0, -1)
    return [_id_of(key) for key in cast("list[bytes]", ids)]


def _letters(ids: Mapping[str, Sequence[str]]) -> list[DeadLetter]:
    """Return the dead letters that still exist, with one exchange, by the ids of each queue."""
    broker = current_broker()
    wanted = {queue: its for queue, its in ids.items() if its}
    if not wanted:
        return []
    with broker.short_timeout_client.pipeline(transaction=True) as pipe:
        for queue, its in wanted.items():
            keys = cast("list[str]", [_key_of(letter) for letter in its])
            pipe.hmget(broker.keys(queue).dead_messages, keys)
            pipe.zmscore(broker.keys(queue).dead, keys)
        answers = batched(pipe.execute(), 2)
    return [
        DeadLetter(queue=queue, id=letter, died_at=moment_of(score), message=decoded(data))
        for (queue, its), (contents, scores) in zip(wanted.items(), answers, strict=True)
        for letter, data, score in zip(its, contents, scores, strict=True)
        if score is not None
    ]


def _id_of(key: bytes) -> str:
    """Return an id as it is shown, and comes back from a form."""
    text = key.decode("ascii", "replace")
    is_plain = key.isascii() and text.isprintable() and text and " " not in text
    return text if is_plain and not text.startswith(HEX_PREFIX) else HEX_PREFIX + key.hex()


def _key_of(shown: str) -> bytes:
    """Return the id that is shown like this."""
    with suppress(ValueError):
        if shown.startswith(HEX_PREFIX):
            return bytes.fromhex(shown.removeprefix(HEX_PREFIX))
    return shown.encode("utf-8", "replace")


def escaped(text: str) -> str:
    """Return text as one line that any page, terminal or database accepts."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
