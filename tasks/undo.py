"""Which todos are restored from the trash: those that a run removed, or that left a list."""

from datetime import datetime

from tasks.engine.models import TaskRun
from tasks.names import TaskName
from todos.bounds import OutOfBounds, check_restore
from todos.models import TrashedTodo, TrashedTodoQuerySet


class NotRestorable(Exception):  # noqa: N818  (it names the state, as Django's own do)
    """What was asked for cannot be restored; the text says why."""


def todos_removed_by(
    *, run_id: int | None = None, user_id: int | None = None, since: str | None = None
) -> TrashedTodoQuerySet:
    """Return the todos that a cleanup removed, that left a person's list since a time, or both.

    Args:
        run_id: a cleanup that has ended.
        user_id: this person's todos alone.
        since: ISO 8601 with a zone.

    Raises:
        NotRestorable: there is no such cleanup, it has not ended, or the arguments make no sense.
    """
    try:
        check_restore(run_id=run_id, user_id=user_id, since=since)
    except OutOfBounds as error:
        raise NotRestorable(str(error)) from error
    if run_id is None and (user_id is None or since is None):
        raise NotRestorable("Name a run, or a person and a time.")
    todos = TrashedTodo.objects.all()
    if run_id is not None:
        todos = todos.swept_by(run_id)
        check_run(run_id, todos)
    if user_id is not None:
        todos = todos.filter(user_id=user_id)
    if since is not None:
        todos = todos.filter(trashed_at__gte=datetime.fromisoformat(since))
    return todos


def check_run(run_id: int, todos: TrashedTodoQuerySet) -> None:
    """Check that a run can be undone; NotRestorable if it cannot."""
    run = TaskRun.objects.filter(pk=run_id).first()
    if run is None:
        # Its row may have been pruned before the todos that it removed.
        if not todos.exists():
            raise NotRestorable(f"There is no run {run_id}.")
    elif run.task != TaskName.TODO_CLEANUP:
        raise NotRestorable(f"Run {run_id} is not a cleanup, but {run.task}.")
    elif not run.is_finished:
        raise NotRestorable(f"Run {run_id} has not ended yet.")
