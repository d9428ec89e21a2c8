"""Retries dead letters, each as a run of its own."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DataError, IntegrityError, transaction
from dramatiq import Message
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound

from tasks.engine.broker.dead_letters import DeadLetter, discard
from tasks.engine.extension import Confirmation, extension_of
from tasks.engine.models import TaskRun, Trigger
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.permissions import may_start
from tasks.engine.operations.runs import message_of
from tasks.engine.runs.enqueue import Request, arguments, publish


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


def retry(letters: Sequence[DeadLetter], *, by: AbstractBaseUser) -> Outcome:
    """Send the messages again, then delete the dead letters.

    A crash in between leaves a letter whose retry is there: it is not retried twice.

    Raises:
        redis.RedisError: the broker cannot be reached; what was retried has its row.
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
    """Say whether this version of the code has an actor for it."""
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
