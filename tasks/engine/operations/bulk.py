"""What an operator does with all runs that match: retry, cancel or acknowledge them.

A bulk operation is itself a run, so that it is recorded, shows its progress, can be stopped, and
continues wherever its process died. It goes through the numbers of runs from the oldest to the
newest, and commits what it did in each step together with where it stands. Whoever asked for it
must still be allowed to do each part of it when it is done.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict
from uuid import NAMESPACE_OID, UUID, uuid5

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Max, Min
from django.db.models.functions import Now

from tasks.engine.database import exclusive_transaction
from tasks.engine.extension import extension_of
from tasks.engine.models import TaskRun, TaskRunQuerySet, Trigger
from tasks.engine.models.run import RETRIED
from tasks.engine.operations import runs as operations
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.permissions import (
    VIEW,
    VIEW_DETAILS,
    check_may_start,
    may,
    may_start,
)
from tasks.engine.operations.selection import Selection
from tasks.engine.runs.enqueue import Request
from tasks.engine.runs.execution import Execution, Unrecorded

CANCEL, STOP = "tasks.cancel_taskrun", "tasks.stop_taskrun"
ACKNOWLEDGE = "tasks.acknowledge_taskrun"

#: Numbers that one step looks through, at most.
NUMBERS_PER_STEP = 50_000

#: Different reasons that a result names, and runs that it names for each.
MAX_REASONS = 20
MAX_NAMED = 5


class Verb(StrEnum):
    RETRY = "retry"
    CANCEL = "cancel"
    ACKNOWLEDGE = "acknowledge"


class Reason(TypedDict):
    """Why runs were left as they are: how many, and the first of them."""

    reason: str
    count: int
    runs: list[int]


class BulkReport(TypedDict):
    """What became of the runs that matched."""

    matched: int
    done: int
    refused: int
    reasons: list[Reason]


@dataclass(frozen=True, kw_only=True)
class Order:
    """Who has some runs acted on, and as what.

    Attributes:
        by: who asked for it.
        operation: the message of the bulk operation's run.
        confirmed: the tasks whose question they have confirmed.
    """

    by: AbstractBaseUser
    operation: UUID
    confirmed: tuple[str, ...]


type Refusals = dict[int, str]


def eligible(verb: Verb, selection: Selection) -> TaskRunQuerySet:
    """Return the selected runs that a verb is for, none of them newer than the request."""
    runs = selection.of(TaskRun.objects.all())
    if verb is Verb.CANCEL:
        return runs.unfinished()
    ended = runs.filter(finished_at__lte=selection.until)
    if verb is Verb.ACKNOWLEDGE:
        return ended.unacknowledged()
    # To repeat an operation would repeat all that it did.
    return ended.exclude(task__in=[f"runs.{each}" for each in Verb])


def verbs_for(user: AbstractBaseUser | AnonymousUser) -> tuple[Verb, ...]:
    """Return the bulk operations that somebody may start."""
    return tuple(verb for verb in Verb if may_start(user, f"runs.{verb}"))


def start(
    verb: Verb, selection: Selection, *, by: AbstractBaseUser, confirmed: Sequence[str] = ()
) -> TaskRun:
    """Start a bulk operation; asked for twice by the same person, the same one.

    Args:
        selection: as they were asked about it: no two questions have one moment.
        confirmed: for a retry, the tasks whose question they have confirmed.

    Raises:
        PermissionDenied: they may not start it.
    """
    check_may_start(by, f"runs.{verb}")
    arguments = selection.as_arguments()
    if verb is Verb.RETRY:
        arguments["confirmed"] = list(confirmed)
    message = operations.message_of(f"runs.{verb}", {"kwargs": arguments})
    # A second click must not retry everything once more.
    asked = f"{by.pk} {verb} {json.dumps(arguments, sort_keys=True)}"
    message_id = uuid5(NAMESPACE_OID, asked)
    with exclusive_transaction(f"start {message_id}"):
        started = TaskRun.objects.filter(message_id=message_id).first()
        once = message.copy(message_id=str(message_id))
        return started or Request(Trigger.ADMIN, by).enqueue_message(once)


def execute(
    verb: Verb,
    selection: Selection,
    *,
    run: Execution | Unrecorded,
    confirmed: Sequence[str] = (),
) -> BulkReport:
    """Do it, in steps, as the run of a bulk operation.

    Raises:
        PermissionDenied: whoever asked for it may not act on runs any more.
    """
    runs = eligible(verb, selection)
    act, size = ACTIONS[verb]
    while True:
        with run.step() as progress:
            order = Order(
                by=requester(run, selection),
                operation=operation_id(run),
                confirmed=tuple(confirmed),
            )
            if "cursor" not in progress:
                progress.update(beginning(selection))
            batch = next_batch(runs, progress, size)
            note(progress, batch, act(batch, order))
        if progress["cursor"] >= progress["last"]:
            return report(progress)


def requester(run: Execution | Unrecorded, selection: Selection) -> AbstractBaseUser:
    """Return who asked for a run, as they are now; PermissionDenied if they may see no runs."""
    asked_by = run.run.requested_by_id if isinstance(run, Execution) else None
    user = get_user_model().objects.filter(pk=asked_by).first() if asked_by else None
    if user is None:
        raise PermissionDenied("Nobody who still exists has asked for this.")
    # Who is no staff any more may not open the console, either.
    if not (getattr(user, "is_staff", False) and may(user, VIEW)):
        raise PermissionDenied("Whoever asked for this may not see runs any more.")
    if selection.matching.reads_details and not may(user, VIEW_DETAILS):
        raise PermissionDenied("Whoever asked for this may not look for errors and arguments.")
    return user


def operation_id(run: Execution | Unrecorded) -> UUID:
    assert isinstance(run, Execution)  # noqa: S101  (`requester` has seen to it)
    return run.run.message_id


def beginning(selection: Selection) -> dict[str, Any]:
    """Return the progress of an operation that has done nothing yet."""
    ends = selection.ends() or TaskRun.objects.aggregate(low=Min("pk"), high=Max("pk"))
    first = (ends["low"] or 1) - 1
    return {
        "cursor": first,
        "first": first,
        "last": min(selection.up_to, ends["high"] or 0),
        "matched": 0,
        "rows": 0,
        "refused": 0,
        "reasons": [],
    }


def next_batch(runs: TaskRunQuerySet, progress: dict[str, Any], size: int) -> list[TaskRun]:
    """Return the next runs to act on, and move the cursor behind them."""
    cursor, last = progress["cursor"], progress["last"]
    end = min(cursor + NUMBERS_PER_STEP, last)
    here = runs.filter(pk__gt=cursor, pk__lte=end).order_by("pk")
    batch = list(here.defer("error", "result", "progress")[:size])
    progress["cursor"] = batch[-1].pk if len(batch) == size else max(end, cursor)
    whole = last - progress["first"]
    progress["done"] = (progress["cursor"] - progress["first"]) / whole if whole > 0 else 1
    return batch


def note(progress: dict[str, Any], batch: Sequence[TaskRun], refusals: Refusals) -> None:
    """Add what became of some runs to the progress."""
    progress["matched"] += len(batch)
    progress["refused"] += len(refusals)
    progress["rows"] += len(batch) - len(refusals)
    reasons: list[Reason] = progress["reasons"]
    for pk, text in refusals.items():
        known = next((each for each in reasons if each["reason"] == text), None)
        if known is None and len(reasons) < MAX_REASONS:
            reasons.append(known := Reason(reason=text, count=0, runs=[]))
        if known is not None:
            known["count"] += 1
            known["runs"] += [pk] if len(known["runs"]) < MAX_NAMED else []


def report(progress: Mapping[str, Any]) -> BulkReport:
    return BulkReport(
        matched=progress["matched"],
        done=progress["rows"],
        refused=progress["refused"],
        reasons=progress["reasons"],
    )


def acknowledge(batch: Sequence[TaskRun], order: Order) -> Refusals:
    """Acknowledge all of them, with one statement."""
    if not may(order.by, ACKNOWLEDGE):
        return dict.fromkeys((run.pk for run in batch), "You may not acknowledge failures.")
    # No other transaction can change them before this one ends.
    locked = TaskRun.objects.unacknowledged().filter(pk__in=[run.pk for run in batch])
    known = set(locked.select_for_update().values_list("pk", flat=True))
    TaskRun.objects.filter(pk__in=known).update(acknowledged_at=Now(), acknowledged_by=order.by)
    late = (run.pk for run in batch if run.pk not in known)
    return dict.fromkeys(late, "It was acknowledged meanwhile.")


def cancel(batch: Sequence[TaskRun], order: Order) -> Refusals:
    """Cancel those that wait, and ask those at work to stop."""
    refusals: Refusals = {}
    for run in batch:
        try:
            cancel_one(run, order.by)
        except Refused as error:
            refusals[run.pk] = error.text
    return refusals


def cancel_one(run: TaskRun, by: AbstractBaseUser) -> None:
    if may(by, STOP):
        if not operations.stop(run, by=by):
            raise Refused("It was asked to stop before.")
    elif not may(by, CANCEL):
        raise Refused("You may not cancel runs.")
    elif run.can_be_cancelled:
        operations.cancel(run, by=by)
    else:
        raise Refused("You may not stop runs at work.")


def retry(batch: Sequence[TaskRun], order: Order) -> Refusals:
    """Start each again, under an id that follows from the operation's and the run's own.

    Several of one task may wait at the same time, as retried dead letters do: all of them are
    meant, and each has its own arguments. One that an operation has retried before is left alone:
    two operators may have asked for the same.
    """
    # No other operation can retry them before this step ends.
    locked = TaskRun.objects.filter(pk__in=[run.pk for run in batch]).order_by("pk")
    reasons = dict(locked.select_for_update().values_list("pk", "reason"))
    ids = {run.pk: uuid5(order.operation, str(run.pk)) for run in batch}
    there = TaskRun.objects.filter(message_id__in=ids.values())
    retried = set(there.values_list("message_id", flat=True))
    refusals: Refusals = {}
    for run in batch:
        try:
            if ids[run.pk] not in retried:
                run.reason = reasons.get(run.pk, "")
                retry_one(run, ids[run.pk], order)
        except Refused as error:
            refusals[run.pk] = error.text
    return refusals


def retry_one(run: TaskRun, message_id: UUID, order: Order) -> None:
    if not may_start(order.by, run.task):
        raise Refused(f"You may not start {run.task}.")
    if RETRIED in run.reason:
        raise Refused("It was retried before.")
    message = operations.message_of(run.task, run.arguments)
    if run.task not in order.confirmed and extension_of(run.task).confirmation(message):
        raise Refused(f"{run.task} asks for a confirmation: run it again by itself.")
    again = message.copy(message_id=str(message_id))
    new = Request(Trigger.ADMIN, order.by).enqueue_message(again, schedule_name=run.schedule_name)
    run.mark_retried(order.by, new.pk)


#: What each verb does, and with how many runs in one step.
ACTIONS: Mapping[Verb, tuple[Callable[[Sequence[TaskRun], Order], Refusals], int]] = {
    Verb.RETRY: (retry, 100),
    Verb.CANCEL: (cancel, 100),
    Verb.ACKNOWLEDGE: (acknowledge, 5_000),
}
