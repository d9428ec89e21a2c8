"""What operators do with runs: start, undo, cancel, stop and acknowledge them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models.functions import Now
from dramatiq import Message
from dramatiq.errors import ActorNotFound

from tasks.engine.broker.messages import message_for
from tasks.engine.database import exclusive_transaction
from tasks.engine.extension import extension_of
from tasks.engine.models import Schedule, State, TaskRun, TaskRunQuerySet, Trigger
from tasks.engine.operations.errors import Refused, Unconfirmed
from tasks.engine.operations.permissions import check_may_start, may_start
from tasks.engine.runs.enqueue import Request, arguments
from tasks.engine.runs.results import tell_caller

logger = structlog.get_logger(__name__)


def run_now(schedule: Schedule, *, by: AbstractBaseUser, confirmed: bool = False) -> TaskRun:
    """Start a run of a schedule's task now, with the schedule's arguments.

    Args:
        confirmed: they have confirmed what the task's extension asks.

    Raises:
        PermissionDenied: they may not start that task.
        Unconfirmed: the task's extension has a question.
        Refused: a run of the task is unfinished, or this version of the code has no actor for it.
    """
    given = {"kwargs": schedule.arguments}
    return start(schedule.task, given, by=by, confirmed=confirmed, schedule_name=schedule.name)


def run_again(run: TaskRun, *, by: AbstractBaseUser, confirmed: bool = False) -> TaskRun:
    """Start a run with the arguments of one that has ended; otherwise as `run_now`.

    Raises:
        Refused: the actor does not take these arguments any more.
    """
    return start(
        run.task, run.arguments, by=by, confirmed=confirmed, schedule_name=run.schedule_name
    )


def undo(run: TaskRun, *, by: AbstractBaseUser) -> TaskRun:
    """Start the run that undoes a run, and return it.

    Raises:
        PermissionDenied: they may not start its task.
        Refused: the run cannot be undone, or is being undone.
    """
    message = undo_message(run)
    check_may_start(by, message.actor_name)
    preview_undo(run)
    with _starting(message.actor_name):
        for undoing in _unfinished(message.actor_name):
            if undoing.arguments == arguments(message):
                raise Refused(
                    f"Run {run.pk} is being undone by run {undoing.pk}.", run_id=undoing.pk
                )
        # Asked again under the lock: another undo of this run may have ended since.
        preview_undo(run)
        return start(message.actor_name, arguments(message), by=by, confirmed=True)


def undo_message(run: TaskRun) -> Message[Any]:
    """Return the message of the run that undoes a run; Refused if its task has no undo."""
    message = extension_of(run.task).undo_message(run)
    if message is None:
        raise Refused(f"Runs of {run.task} cannot be undone.")
    return message


def preview_undo(run: TaskRun) -> Sequence[str]:
    """Say in lines what undoing a run would restore, or raise Refused if it cannot be undone."""
    return extension_of(run.task).undo_preview(run)


def may_undo(user: AbstractBaseUser | AnonymousUser, run: TaskRun) -> bool:
    """Say whether somebody may undo a run now; not if its task's extension fails to say."""
    extension = extension_of(run.task)
    try:
        message = extension.undo_message(run)
        return (
            message is not None
            and may_start(user, message.actor_name)
            and extension.can_be_undone(run)
        )
    except Exception:
        logger.exception("extension failed", task=run.task, run=run.pk)
        return False


def undone_by(run: TaskRun) -> int | None:
    """Return the number of the latest run that undid a run, or is to; None if there is none."""
    try:
        message = extension_of(run.task).undo_message(run)
    except Exception:
        logger.exception("extension failed", task=run.task, run=run.pk)
        return None
    if message is None:
        return None
    runs = TaskRun.objects.filter(task=message.actor_name, arguments=arguments(message))
    # Each half has an index of its own: there may be a million other runs.
    either = runs.unfinished() | runs.filter(finished_at__isnull=False)
    return max(either.values_list("pk", flat=True), default=None)


def start(
    task: str,
    given: Mapping[str, Any],
    *,
    by: AbstractBaseUser | None = None,
    confirmed: bool = False,
    schedule_name: str = "",
) -> TaskRun:
    """Start a run of a task with arguments.

    Args:
        given: the arguments as a run's row holds them: `args` and `kwargs`.
        by: None for the command, of which nothing is asked: whoever uses it may do anything.
        confirmed: they have confirmed what the task's extension asks.

    Raises:
        PermissionDenied: they may not start that task.
        Unconfirmed: the task's extension has a question.
        Refused: a run of the task is unfinished, or no actor takes these arguments.
    """
    if by:
        check_may_start(by, task)
    message = message_of(task, given)
    asks = by is not None and not confirmed
    confirmation = extension_of(task).confirmation(message) if asks else None
    if confirmation:
        raise Unconfirmed(confirmation)
    with _starting(task):
        if unfinished := _unfinished(task).first():
            raise Refused(f"Run {unfinished.pk} of {task} is unfinished.", run_id=unfinished.pk)
        request = Request(Trigger.ADMIN if by else Trigger.COMMAND, by)
        return request.enqueue_message(message, schedule_name=schedule_name)


def message_of(task: str, given: Mapping[str, Any]) -> Message[Any]:
    """Return a message that asks for a run of a task; Refused if no actor takes these arguments."""
    try:
        return message_for(task, given.get("kwargs", {}), args=given.get("args", ()))
    except ActorNotFound as error:
        raise Refused(f"This version of the code has no actor for {task}.") from error
    except (TypeError, ValueError) as error:
        raise Refused(f"{task} does not accept these arguments", detail=str(error)) from error


def _unfinished(task: str) -> TaskRunQuerySet:
    return TaskRun.objects.unfinished().filter(task=task).order_by("pk")


@contextmanager
def _starting(task: str) -> Iterator[None]:
    """Make other requests to start a task, and claims of its slots, wait until this one is done.

    Whichever comes second then sees the first one's run.
    """
    # Claims lock the schedule's row. Requests need the named lock: not every task has a schedule.
    with exclusive_transaction(f"start {task}"):
        list(Schedule.objects.select_for_update().filter(task=task))
        yield


def cancel(run: TaskRun, *, by: AbstractBaseUser) -> None:
    """Cancel a run that no worker has started; Refused if one has."""
    if not run.cancel(f"Cancelled by user {by.pk}."):
        raise Refused(f"Run {run.pk} has started or ended meanwhile.")
    run.refresh_from_db()
    transaction.on_commit(partial(tell_caller, run), robust=True)


def stop(run: TaskRun, *, by: AbstractBaseUser | None = None) -> bool:
    """End a run: at once if it waits, after its current step if it is running.

    Args:
        run: refreshed from the database.
        by: None for the command.

    Returns:
        Whether that changed anything: not if it was asked to stop before.

    Raises:
        Refused: it had ended before.
    """
    reason = f"Stopped by user {by.pk}." if by else "Stopped by the command stop_run."
    while True:
        # A waiting run may be started between these two updates, or a running one be put back to
        # wait. Then neither matches, and both are tried again.
        stopped = run.cancel(reason) or run.request_stop(reason)
        run.refresh_from_db()
        if stopped:
            transaction.on_commit(partial(tell_caller, run), robust=True)
            return True
        if run.is_finished:
            raise Refused(f"Run {run.pk} of {run.task} has ended already: {run.state}.")
        if run.stop_requested_at:
            return False


def can_be_stopped(run: TaskRun) -> bool:
    """Say whether a run can be stopped: it has started, though it may wait to continue."""
    return bool(run.started_at) and not run.is_finished and run.stop_requested_at is None


def retry_now(run: TaskRun) -> None:
    """Have a run that waits for its next try start within seconds; Refused if it does not wait."""
    if not run.retry_now():
        raise Refused(f"Run {run.pk} does not wait for another try any more.")


def waits_for_retry(run: TaskRun, now: datetime) -> bool:
    """Say whether a run waits for its next try, which `retry_now` brings forward."""
    waits = run.state == State.PENDING and run.attempts > 0 and run.due_at > now
    return waits and run.stop_requested_at is None and run.waits_for is None


def acknowledge(run: TaskRun, *, by: AbstractBaseUser) -> None:
    """Note that an operator knows of a run's failure or errors; Refused if there is no need."""
    if not run.acknowledge(by):
        raise Refused(f"Run {run.pk} has nothing to acknowledge, or has been acknowledged.")


def acknowledge_all(
    *, until: datetime, count: int, by: AbstractBaseUser
) -> tuple[list[TaskRun], int]:
    """Note that an operator knows of all failures and errors up to a moment.

    Args:
        until: when the newest run that they have seen ended.
        count: how many they were shown.

    Returns:
        What they have acknowledged, and how many runs another transaction had locked.

    Raises:
        Refused: there are more than `count`.
    """
    with transaction.atomic():
        known = TaskRun.objects.unacknowledged().filter(finished_at__lte=until)
        total = known.count()
        if total > count:
            raise Refused(f"There are now {total:,}, not {count:,}. Reload the page.")
        runs = list(known.select_for_update(skip_locked=True).order_by("pk"))
        TaskRun.objects.filter(pk__in=[run.pk for run in runs]).update(
            acknowledged_at=Now(), acknowledged_by=by
        )
        left = known.count()
    return runs, left
