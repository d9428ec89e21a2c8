"""Tidy's tasks: each actor unpacks a message, calls one service and returns plain data.

An actor may run twice, die at any point, and run in several processes at once. `permission` is what
starting it by hand takes, instead of `tasks.start_taskrun`.
"""

import dramatiq

from accounts.models import User
from accounts.services import ClearedSessions, SessionService, UserService
from tasks.engine import actors as engine_actors
from tasks.engine.runs.execution import current_run
from tasks.extensions import (
    CleanupExtension,
    PurgeExtension,
    ReceiptsExtension,
    RestoreExtension,
)
from tasks.names import TaskName
from tasks.settled import settled_until
from tasks.undo import NotRestorable, todos_removed_by
from todos.bounds import check_purge, check_restore, check_sweep
from todos.bulk.sweep import SweepReport
from todos.bulk.trash import PurgeReport, RestoreReport
from todos.receipts.services import ReceiptService, ReceiptsReport
from todos.services import TodoService

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS

#: The engine's own, which can be imported from here as well.
ping = engine_actors.ping
runs_prune = engine_actors.runs_prune
runs_retry = engine_actors.runs_retry
runs_cancel = engine_actors.runs_cancel
runs_acknowledge = engine_actors.runs_acknowledge


@dramatiq.actor(
    actor_name=TaskName.TODO_CLEANUP,
    queue_name="default",
    max_retries=3,
    min_backoff=15 * SECOND_MS,
    throws=(User.DoesNotExist, ValueError),  # A retry would not help.
    check=check_sweep,
    extension=CleanupExtension(),
    time_limit=30 * MINUTE_MS,
)
def todo_cleanup(
    *, keep_days: int | None = None, batch_size: int | None = None, user_id: int | None = None
) -> SweepReport:
    """Sweep the completed todos of everyone who takes part.

    Args:
        keep_days: instead of TODO_KEEP_COMPLETED_DAYS.
        batch_size: completed todos in one transaction.
        user_id: sweep this user's todos alone.

    Raises:
        User.DoesNotExist: there is no such user (any more).
        ValueError: an argument is out of bounds.
        ClocksDisagree: this host's clock or the database's is wrong; another host may do better.
    """
    run = current_run()
    return TodoService.sweep(
        as_of=run.as_of,
        keep_days=keep_days,
        batch_size=batch_size,
        user=_user(user_id),
        store=run,
    )


@dramatiq.actor(
    actor_name=TaskName.TODO_PURGE,
    queue_name="default",
    permission="todos.purge_trashedtodo",
    max_retries=3,
    min_backoff=15 * SECOND_MS,
    throws=(User.DoesNotExist, ValueError),
    check=check_purge,
    extension=PurgeExtension(),
    time_limit=30 * MINUTE_MS,
)
def todo_purge(*, days: int | None = None, user_id: int | None = None) -> PurgeReport:
    """Delete for good the todos that have been in the trash for long enough.

    Args:
        days: how long todos stay there, instead of TODO_TRASH_DAYS.
        user_id: purge this user's trash alone.

    Raises:
        as `todo_cleanup`.
    """
    run = current_run()
    return TodoService.purge(
        as_of=run.as_of,
        days=days,
        user=_user(user_id),
        store=run,
    )


@dramatiq.actor(
    actor_name=TaskName.TODO_RESTORE,
    queue_name="default",
    permission="tasks.undo_taskrun",
    max_retries=3,
    min_backoff=15 * SECOND_MS,
    throws=(NotRestorable, ValueError),
    check=check_restore,
    extension=RestoreExtension(),
    time_limit=30 * MINUTE_MS,
)
def todo_restore(
    *, run_id: int | None = None, user_id: int | None = None, since: str | None = None
) -> RestoreReport:
    """Restore the todos that a run removed, or that left a user's list since some time.

    Args:
        run_id: a cleanup.
        user_id: restore this user's todos alone.
        since: ISO 8601 with a zone.

    Raises:
        NotRestorable: no todos can be meant by these arguments.
    """
    return TodoService.restore_selected(
        todos=todos_removed_by(run_id=run_id, user_id=user_id, since=since), store=current_run()
    )


@dramatiq.actor(
    actor_name=TaskName.TODO_RECEIPTS,
    queue_name="default",
    # Some 18 hours: the mail server may be away for long. The next night's run tries again.
    max_retries=24,
    min_backoff=30 * SECOND_MS,
    max_backoff=60 * MINUTE_MS,
    extension=ReceiptsExtension(),
    time_limit=30 * MINUTE_MS,
)
def todo_receipts() -> ReceiptsReport:
    """Tell by mail what the last nights have taken, each person who wants to know.

    Raises:
        MailDelayed: the mail server does not take all of them; another attempt sends the rest.
    """
    run = current_run()
    return ReceiptService.write_and_send(as_of=run.as_of, settled_until=settled_until, store=run)


@dramatiq.actor(
    actor_name=TaskName.SESSIONS_CLEAR,
    queue_name="default",
    max_retries=3,
    min_backoff=15 * SECOND_MS,
    time_limit=30 * MINUTE_MS,
)
def sessions_clear() -> ClearedSessions:
    """Delete the sessions that have expired."""
    return SessionService.clear()


@dramatiq.actor(
    actor_name=TaskName.REQUESTS_PRUNE,
    queue_name="default",
    max_retries=3,
    min_backoff=15 * SECOND_MS,
    time_limit=10 * MINUTE_MS,
)
def requests_prune() -> dict[str, int]:
    """Delete the keys by which requests that are sent twice are recognized, once they are old."""
    return {"requests_pruned": TodoService.prune_requests(as_of=current_run().as_of)}


def _user(user_id: int | None) -> User | None:
    """Return the user whose todos alone are meant; None for everyone's."""
    return None if user_id is None else UserService.get(user_id=user_id)
