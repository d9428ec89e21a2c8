"""What operators do by hand: start runs, cancel and undo them, pause schedules."""

from django.db import transaction
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound

from accounts.models import User
from tasks.models import Schedule, TaskRun, Trigger
from tasks.names import TaskName
from tasks.sending import Request
from tasks.undo import NotRestorable, taken
from todos.services import TodoService
from todos.trash import RestoreReport


class Refused(Exception):  # noqa: N818  (it says what became of it, as Django's own do)
    """What was asked for was not done; the text says why."""


def run_now(schedule: Schedule, *, by: User) -> TaskRun:
    """Start what a schedule starts, now.

    Raises:
        Refused: a run of it is unfinished, or this version of the code has no actor for it.
    """
    return _start(schedule.task, by=by)


def run_again(run: TaskRun, *, by: User) -> TaskRun:
    """Start a run with the same arguments as one that has ended.

    Raises:
        Refused: it, or another of its task, is unfinished; or there is no actor for it.
    """
    arguments = run.arguments
    return _start(run.task, *arguments.get("args", ()), by=by, **arguments.get("kwargs", {}))


def cancel(run: TaskRun, *, by: User) -> None:
    """Have a run that no worker has taken up never start.

    Raises:
        Refused: one has.
    """
    if not run.cancel(f"Cancelled by {by.get_username()}."):
        raise Refused(f"Run {run.pk} has started or ended meanwhile.")


def undo(run: TaskRun, *, by: User) -> TaskRun:
    """Bring back what a cleanup took.

    Returns:
        The run that does so.

    Raises:
        Refused: it cannot be undone, or is being undone.
    """
    check_undoable(run)
    return _start(TaskName.TODO_RESTORE, by=by, run_id=run.pk)


def check_undoable(run: TaskRun) -> RestoreReport:
    """Say what undoing a run would bring back; touch nothing.

    Raises:
        Refused: it is no cleanup, it has not ended, or it took nothing that is still in the trash.
    """
    try:
        todos = taken(run_id=run.pk)
    except NotRestorable as error:
        raise Refused(str(error)) from error
    report = TodoService.preview_restore(todos=todos)
    if not report["todos_restored"] and not report["todos_left"]:
        raise Refused(f"Nothing that run {run.pk} took is in the trash any more.")
    return report


def can_be_undone(run: TaskRun) -> bool:
    """Say whether a run is a cleanup that has ended, and something that it took is still there."""
    ended = run.task == TaskName.TODO_CLEANUP and run.is_finished
    return ended and taken(run_id=run.pk).exists()


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


def _start(task: str, *args: object, by: User, **kwargs: object) -> TaskRun:
    try:
        actor = get_broker().get_actor(task)
    except ActorNotFound as error:
        raise Refused(f"This version of the code has no actor for {task}.") from error
    with transaction.atomic():
        # Two who ask at once wait here for each other, and for a scheduler's claim.
        list(Schedule.objects.select_for_update().filter(task=task))
        for unfinished in TaskRun.objects.unfinished().filter(task=task).order_by()[:1]:
            raise Refused(f"Run {unfinished.pk} of {task} is unfinished.")
        return Request(Trigger.ADMIN, by).enqueue(actor, *args, **kwargs)
