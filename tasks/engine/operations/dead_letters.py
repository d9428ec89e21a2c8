"""Dead letters: messages that Dramatiq has given up, which the broker keeps for a week.

Runs of recorded actors never become any: they end as failed, in their row. What is left are
messages of actors that are not recorded, that this code does not know, or that came too late.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import batched
from typing import Any, cast
from uuid import UUID, uuid5

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DataError, IntegrityError, transaction
from dramatiq import Message
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound

from tasks.engine.broker.messages import decoded
from tasks.engine.broker.waking import queue_key, short_timeout_client
from tasks.engine.extension import Confirmation, extension_of
from tasks.engine.models import TaskRun, Trigger
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.permissions import may_start
from tasks.engine.operations.runs import message_of
from tasks.engine.runs.enqueue import Request, arguments, publish

#: Dead letters that one exchange with the broker deals with.
LETTERS_PER_EXCHANGE = 500

#: Characters of an actor's name.
LONGEST_NAME = 200

#: How an id that is no plain text begins.
HEX = "hex:"


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One message that was given up.

    Attributes:
        id: what the broker calls it; in hexadecimal after `hex:` where that is no plain text.
        died_at: when it was given up.
        message: None if it is none of Dramatiq's.
    """

    queue: str
    id: str
    died_at: datetime
    message: Message[Any] | None

    @property
    def actor(self) -> str:
        """The name of its actor; empty if that cannot be told."""
        return printable(self.message.actor_name)[:LONGEST_NAME] if self.message else ""

    @property
    def error(self) -> str:
        """The traceback of its last failure; empty if it has none."""
        if self.message is None:
            return ""
        lines = str(self.message.options.get("traceback", "")).split("\n")
        return "\n".join(map(printable, lines))

    @property
    def arguments(self) -> str:
        """Its arguments, as Python would write them."""
        if self.message is None:
            return ""
        positional = [repr(value) for value in self.message.args]
        named = [f"{printable(name)}={value!r}" for name, value in self.message.kwargs.items()]
        return ", ".join([*positional, *named])

    @property
    def retry_id(self) -> UUID | None:
        """The id of the message that it is retried as: always the same one."""
        try:
            return uuid5(UUID(self.message.message_id), "retry") if self.message else None
        except ValueError:
            return None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of retrying dead letters.

    Attributes:
        retried: the runs that were started.
        already: how many were retried before.
        refused: how many cannot be retried: they stay.
        forbidden: how many belong to tasks that whoever asked may not start: they stay.
    """

    retried: tuple[TaskRun, ...]
    already: int
    refused: int
    forbidden: int


def count(queues: Sequence[str]) -> int:
    """Return how many there are.

    Raises:
        redis.RedisError: the broker cannot be asked.
    """
    with short_timeout_client().pipeline(transaction=False) as pipe:
        for name in queues:
            pipe.zcard(f"{queue_key(name)}.XQ")
        return sum(pipe.execute())


def read(queues: Sequence[str], *, limit: int) -> list[DeadLetter]:
    """Return the latest dead letters of some queues, the latest first.

    Raises:
        redis.RedisError: the broker cannot be asked.
    """
    found = [letter for name in queues for letter in _letters(name, _ids(name, limit=limit))]
    return sorted(found, key=lambda letter: letter.died_at, reverse=True)[:limit]


def find(ids: Sequence[tuple[str, str]]) -> list[DeadLetter]:
    """Return the dead letters of these queues and ids, as far as they are still there.

    Raises:
        redis.RedisError: the broker cannot be asked.
    """
    by_queue: dict[str, list[str]] = {}
    for queue, letter in ids:
        by_queue.setdefault(queue, []).append(letter)
    return [letter for queue, its in by_queue.items() for letter in _letters(queue, its)]


def all_of(
    queues: Sequence[str], *, actor: str = "", until: datetime | None = None
) -> Iterator[list[DeadLetter]]:
    """Yield all dead letters of some queues, in batches.

    Args:
        queues: which.
        actor: those of this one; of all if it is empty.
        until: those that were given up by then.

    Raises:
        redis.RedisError: the broker cannot be asked.
    """
    for queue in queues:
        for ids in batched(_ids(queue), LETTERS_PER_EXCHANGE):
            yield [
                letter
                for letter in _letters(queue, ids)
                if not actor or letter.actor == actor
                if until is None or letter.died_at <= until
            ]


def retry(letters: Sequence[DeadLetter], *, by: AbstractBaseUser) -> Outcome:
    """Send the messages again, then delete the dead letters.

    A crash in between leaves a letter whose retry is there: it is not retried twice.

    Raises:
        redis.RedisError: the broker cannot be asked; what was retried has its row.
    """
    retried, already, refused, forbidden = [], 0, 0, 0
    for letter in letters:
        if not can_be_retried(letter):
            refused += 1
            continue
        if not may_start(by, letter.actor):
            forbidden += 1
            continue
        try:
            run = _retry(letter, by)
        except (DataError, TypeError, ValueError):
            # Arguments that its actor does not take, or the database, such as a NUL.
            refused += 1
            continue
        if run is None:
            already += 1
        else:
            retried.append(run)
        discard([letter])
    return Outcome(retried=tuple(retried), already=already, refused=refused, forbidden=forbidden)


def can_be_retried(letter: DeadLetter) -> bool:
    """Say whether this version of the code knows what to do with it."""
    if letter.retry_id is None:
        return False
    try:
        get_broker().get_actor(letter.actor)
    except ActorNotFound:
        return False
    return True


def confirmation(letter: DeadLetter) -> Confirmation | None:
    """Return what its task wants to have confirmed before a letter is retried; None if nothing."""
    if letter.message is None or not can_be_retried(letter):
        return None
    with suppress(Refused):
        return extension_of(letter.actor).confirmation(
            message_of(letter.actor, arguments(letter.message))
        )
    return None


def retried_as(letters: Sequence[DeadLetter]) -> dict[str, int]:
    """Return the runs that letters have been retried as, by the letters' ids, with one query."""
    retries = {letter.retry_id: letter.id for letter in letters if letter.retry_id}
    runs = TaskRun.objects.filter(message_id__in=retries).values_list("message_id", "pk")
    return {retries[message_id]: pk for message_id, pk in runs}


def discard(letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Delete dead letters; return those that were still there.

    Raises:
        redis.RedisError: the broker cannot be asked.
    """
    with short_timeout_client().pipeline(transaction=True) as pipe:
        for letter in letters:
            pipe.zrem(f"{queue_key(letter.queue)}.XQ", key_of(letter.id))
            pipe.hdel(f"{queue_key(letter.queue)}.XQ.msgs", cast("str", key_of(letter.id)))
        went = pipe.execute()[::2]
    return [letter for letter, gone in zip(letters, went, strict=True) if gone]


def _retry(letter: DeadLetter, by: AbstractBaseUser) -> TaskRun | None:
    """Create a run with the letter's message; None if that was done before."""
    assert letter.message  # noqa: S101  (`can_be_retried` says so; for the type checker)
    message = Message[Any](
        queue_name=letter.queue,
        actor_name=letter.actor,
        args=letter.message.args,
        kwargs=letter.message.kwargs,
        options={},
        message_id=str(letter.retry_id),
    )
    try:
        with transaction.atomic():
            run = Request(Trigger.ADMIN, by).create(message)
    except IntegrityError:
        return None
    transaction.on_commit(partial(publish, run), robust=True)
    return run


def _ids(queue: str, *, limit: int | None = None) -> list[str]:
    """Return the ids of dead letters, the latest first."""
    last = -1 if limit is None else limit - 1
    ids = cast("list[bytes]", short_timeout_client().zrevrange(f"{queue_key(queue)}.XQ", 0, last))
    return [id_of(key) for key in ids]


def id_of(key: bytes) -> str:
    """Return an id as it is shown, and comes back from a form."""
    text = key.decode("ascii", "replace")
    is_plain = key.isascii() and text.isprintable() and text and " " not in text
    return text if is_plain and not text.startswith(HEX) else HEX + key.hex()


def key_of(shown: str) -> bytes:
    """Return the id that is shown like this."""
    with suppress(ValueError):
        if shown.startswith(HEX):
            return bytes.fromhex(shown.removeprefix(HEX))
    return shown.encode("utf-8", "replace")


def printable(text: str) -> str:
    """Return one line of text without what no page, terminal or database takes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _letters(queue: str, ids: Sequence[str]) -> list[DeadLetter]:
    if not ids:
        return []
    with short_timeout_client().pipeline(transaction=True) as pipe:
        keys = cast("list[str]", [key_of(letter) for letter in ids])
        pipe.hmget(f"{queue_key(queue)}.XQ.msgs", keys)
        pipe.zmscore(f"{queue_key(queue)}.XQ", keys)
        contents, scores = pipe.execute()
    return [
        DeadLetter(
            queue=queue,
            id=key,
            died_at=datetime.fromtimestamp(score / 1000, tz=UTC),
            message=decoded(data),
        )
        for key, data, score in zip(ids, contents, scores, strict=True)
        if score is not None
    ]
