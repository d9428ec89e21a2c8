"""What operators do by hand: start, stop and undo runs, pause schedules, acknowledge failures.

Starting a run takes the permission that its task names (`permission` in `tasks/actors.py`), and no
other, whichever the door: run now, run again, undo. Retrying a dead letter takes the permission to
do that as well.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models.functions import Now
from dramatiq import Actor
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound

from accounts.models import User
from tasks.engine.database import database_now, exclusive_transaction
from tasks.engine.models import Schedule, TaskRun, Trigger
from tasks.engine.runs.enqueue import Request, publish
from tasks.names import TaskName
from tasks.undo import NotRestorable, todos_removed_by
from todos.bulk.trash import RestoreReport
from todos.clock import ClocksDisagree
from todos.services import TodoService

#: What starting a task takes that names no permission of its own.
START = "tasks.start_taskrun"


class Refused(Exception):  # noqa: N818  (it says what became of it, as Django's own do)
    """What was asked for was not done; the text says why.

    Attributes:
        text: why, in words of ours.
        detail: what else there is to say, which may quote an argument, a person's own text.
        run_id: the run that stands in the way; None if none does.
    """

    def __init__(self, text: str, *, detail: str = "", run_id: int | None = None) -> None:
        super().__init__(f"{text}: {detail}" if detail else text)
        self.text = text
        self.detail = detail
        self.run_id = run_id


class Unconfirmed(Refused):
    """A purge by hand was asked for, and nobody has confirmed how much would go.

    Attributes:
        todos: how many would be deleted for good.
    """

    def __init__(self, todos: int) -> None:
        super().__init__(f"This would delete {todos:,} todos for good: that is to be confirmed.")
        self.todos = todos


# Starting runs.


def permission_to_start(task: str) -> str:
    """Return the permission that starting a task takes, such as `tasks.start_taskrun`."""
    try:
        actor = get_broker().get_actor(task)
    except ActorNotFound:
        return START
    return str(actor.options.get("permission", START))


def may_start(user: User, task: str) -> bool:
    """Say whether somebody may start runs of a task."""
    return user.has_perm(permission_to_start(task))


def check_may_start(user: User, task: str) -> None:
    """Check that somebody may start runs of a task.

    Raises:
        PermissionDenied: they may not.
    """
    if not may_start(user, task):
        raise PermissionDenied


def run_now(schedule: Schedule, *, by: User, confirmed: bool = False) -> TaskRun:
    """Start what a schedule starts, now.

    Args:
        schedule: which.
        by: who asks.
        confirmed: they know how many todos a purge would delete for good.

    Raises:
        PermissionDenied: they may not start that task.
        Unconfirmed: it is a purge.
        Refused: a run of it is unfinished, or this version of the code has no actor for it.
    """
    return _start(schedule.task, {}, by=by, confirmed=confirmed)


def run_again(run: TaskRun, *, by: User, confirmed: bool = False) -> TaskRun:
    """Start a run with the same arguments as one that has ended.

    Args:
        run: which.
        by: who asks.
        confirmed: they know how many todos a purge would delete for good.

    Raises:
        PermissionDenied: they may not start that task.
        Unconfirmed: it is a purge.
        Refused: it, or another of its task, is unfinished; or there is no actor for it, or not for
            such arguments.
    """
    return _start(run.task, run.arguments, by=by, confirmed=confirmed)


def undo(run: TaskRun, *, by: User) -> TaskRun:
    """Bring back what a cleanup took.

    Returns:
        The run that does so.

    Raises:
        PermissionDenied: they who ask may not start that.
        Refused: it cannot be undone, or is being undone.
    """
    arguments = {"kwargs": {"run_id": run.pk}}
    check_may_start(by, TaskName.TODO_RESTORE)
    check_undoable(run)
    with starting(TaskName.TODO_RESTORE):
        for undoing in _unfinished(TaskName.TODO_RESTORE):
            if undoing.arguments.get("kwargs", {}).get("run_id") == run.pk:
                raise Refused(
                    f"Run {run.pk} is being undone by run {undoing.pk}.", run_id=undoing.pk
                )
        # Whoever was before us may be through already.
        check_undoable(run)
        return _start(TaskName.TODO_RESTORE, arguments, by=by)


def check_undoable(run: TaskRun) -> RestoreReport:
    """Say what undoing a run would bring back; touch nothing.

    Raises:
        Refused: it is no cleanup, it has not ended, or it took nothing that is still in the trash.
    """
    try:
        todos = todos_removed_by(run_id=run.pk)
    except NotRestorable as error:
        raise Refused(str(error)) from error
    report = TodoService.preview_restore(todos=todos)
    if not report["todos_restored"] and not report["todos_left"]:
        raise Refused(f"Nothing that run {run.pk} took is in the trash any more.")
    return report


def can_be_undone(run: TaskRun) -> bool:
    """Say whether a run is a cleanup that has ended, and something that it took is still there."""
    ended = run.task == TaskName.TODO_CLEANUP and run.is_finished
    return ended and todos_removed_by(run_id=run.pk).exists()


def todos_to_purge(task: str, arguments: Mapping[str, Any]) -> int | None:
    """Say how many todos a run would delete for good if it were started now.

    Args:
        task: its task.
        arguments: its `args` and `kwargs`.

    Returns:
        How many; None if it is no purge.

    Raises:
        Refused: nobody can purge with such arguments.
    """
    if task != TaskName.TODO_PURGE:
        return None
    try:
        return _preview_purge(*arguments.get("args", ()), **arguments.get("kwargs", {}))
    except User.DoesNotExist as error:
        raise Refused("There is no such person (any more).") from error
    except ClocksDisagree as error:
        raise Refused(str(error)) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused("No purge can have these arguments", detail=str(error)) from error


def _preview_purge(*, days: int | None = None, user_id: int | None = None) -> int:
    user = None if user_id is None else User.objects.get(pk=user_id)
    report = TodoService.preview_purge(as_of=database_now(), days=days, user=user)
    return report["todos_purged"]


def _start(
    task: str, arguments: Mapping[str, Any], *, by: User, confirmed: bool = False
) -> TaskRun:
    check_may_start(by, task)
    actor = _actor(task)
    todos = None if confirmed else todos_to_purge(task, arguments)
    if todos is not None:
        raise Unconfirmed(todos)
    with starting(task):
        for unfinished in _unfinished(task)[:1]:
            raise Refused(f"Run {unfinished.pk} of {task} is unfinished.", run_id=unfinished.pk)
        try:
            # Not by `message()`: an actor's parameters may be called what they like.
            message = actor.message_with_options(
                args=tuple(arguments.get("args", ())), kwargs=dict(arguments.get("kwargs", {}))
            )
            run = Request(Trigger.ADMIN, by).create(message)
        except (TypeError, ValueError) as error:
            raise Refused(f"{task} cannot have these arguments", detail=str(error)) from error
        transaction.on_commit(partial(publish, run), robust=True)
    return run


def _actor(task: str) -> Actor[Any, Any]:
    try:
        return get_broker().get_actor(task)
    except ActorNotFound as error:
        raise Refused(f"This version of the code has no actor for {task}.") from error


def _unfinished(task: str) -> Any:
    return TaskRun.objects.unfinished().filter(task=task).order_by("pk")


@contextmanager
def starting(task: str) -> Iterator[None]:
    """Have those who start a task by hand at once wait for each other, and for a scheduler's claim.

    Whoever comes second finds the first one's run.
    """
    # Not every task has a schedule whose row could be locked.
    with exclusive_transaction(f"start {task}"):
        list(Schedule.objects.select_for_update().filter(task=task))
        yield


# Ending them.


def cancel(run: TaskRun, *, by: User) -> None:
    """Have a run that no worker has taken up never start.

    Raises:
        Refused: one has.
    """
    if not run.cancel(f"Cancelled by user {by.pk}."):
        raise Refused(f"Run {run.pk} has started or ended meanwhile.")


def stop(run: TaskRun, *, by: User | None = None) -> bool:
    """End a run: at once if it waits, at its next step if it is at work.

    Args:
        run: brought up to date.
        by: who asks; None for the command.

    Returns:
        Whether that changed anything: not if it has been asked to stop before.

    Raises:
        Refused: it had ended before.
    """
    reason = f"Stopped by user {by.pk}." if by else "Stopped by the command stop_run."
    while True:
        # Between the two it may be taken up, or put back to wait: then neither finds it.
        stopped = run.cancel(reason) or run.request_stop(reason)
        run.refresh_from_db()
        if stopped:
            return True
        if run.is_finished:
            raise Refused(f"Run {run.pk} of {run.task} has ended already: {run.state}.")
        if run.stop_requested_at:
            return False


def can_be_stopped(run: TaskRun) -> bool:
    """Say whether it can be stopped: it has been at work, though it may wait for its next turn."""
    return bool(run.started_at) and not run.is_finished and run.stop_requested_at is None


# Failures.


def acknowledge(run: TaskRun, *, by: User) -> None:
    """Note that an operator knows of a run's failure or errors.

    Raises:
        Refused: it has none, or somebody has acknowledged it before.
    """
    if not run.acknowledge(by):
        raise Refused(f"Run {run.pk} has nothing to acknowledge, or has been acknowledged.")


def acknowledge_all(*, until: datetime, count: int, by: User) -> tuple[list[TaskRun], int]:
    """Note that an operator knows of all failures and errors up to some moment.

    A run that somebody holds a lock on is left.

    Args:
        until: when the newest ended that they have seen.
        count: how many they were told there are.
        by: who.

    Returns:
        What they have acknowledged, and how many were left.

    Raises:
        Refused: there are more than that.
    """
    with transaction.atomic():
        known = TaskRun.objects.unacknowledged().filter(finished_at__lte=until)
        there = known.count()
        if there > count:
            raise Refused(f"There are {there:,} by now, not {count:,}: look again.")
        runs = list(known.select_for_update(skip_locked=True).order_by("pk"))
        TaskRun.objects.filter(pk__in=[run.pk for run in runs]).update(
            acknowledged_at=Now(), acknowledged_by=by
        )
        left = known.count()
    return runs, left


# Schedules.


def switch(schedule: Schedule, *, on: bool) -> bool:
    """Pause a schedule or resume it; return whether it was otherwise before.

    Slots that pass while it is paused are not caught up.
    """
    with transaction.atomic():
        current = Schedule.objects.select_for_update().get(pk=schedule.pk)
        if current.enabled == on:
            return False
        current.enabled = on
        current.save()
    return True
