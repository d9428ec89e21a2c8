"""Retries dead letters, each as a run of its own."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DataError, IntegrityError, transaction
from dramatiq import Message
from dramatiq.broker import get_broker

from tasks.engine.broker.dead_letters import DeadLetter, discard
from tasks.engine.extension import Confirmation, extension_of
from tasks.engine.models import TaskRun, Trigger
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.permissions import may_start
from tasks.engine.operations.runs import message_of
from tasks.engine.runs.enqueue import Request, arguments


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of retrying dead letters.

    Attributes:
        retried: the runs that were started.
        already: how many were retried before.
        refused: how many cannot be retried, and stay.
        forbidden: how many stay because the operator may not start their tasks.
    """

    retried: tuple[TaskRun, ...]
    already: int
    refused: int
    forbidden: int


def retry(letters: Sequence[DeadLetter], *, by: AbstractBaseUser) -> Outcome:
    """Create runs with the letters' messages, then delete the letters.

    A letter that a crash in between has left is not retried twice.

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
            # The actor, or the database, does not accept its arguments.
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
    return letter.retry_id is not None and letter.actor in get_broker().actors


def confirmation(letter: DeadLetter) -> Confirmation | None:
    """Return what staff must confirm before a letter is retried; None if nothing."""
    if letter.message and can_be_retried(letter):
        with suppress(Refused):
            message = message_of(letter.actor, arguments(letter.message))
            return extension_of(letter.actor).confirmation(message)
    return None


def retried_as(letters: Sequence[DeadLetter]) -> dict[str, int]:
    """Return the runs that retried these letters, by the letters' ids, with one query."""
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
            return Request(Trigger.ADMIN, by).enqueue_message(message)
    except IntegrityError:
        return None
