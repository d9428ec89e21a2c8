"""What workers do: each actor unpacks a message, calls one service and returns plain data.

Any of them may run twice, die anywhere, and run beside itself. `permission` is what starting it by
hand takes, in place of `tasks.start_taskrun`.
"""

import os
import socket
from typing import TypedDict

import dramatiq
import structlog
from django.utils import timezone

from accounts.models import User
from tasks.engine.operations.pruning import PruneReport, prune_runs
from tasks.engine.runs.execution import current_run
from tasks.extensions import CleanupExtension, PurgeExtension, RestoreExtension
from tasks.names import TaskName
from tasks.undo import NotRestorable, todos_removed_by
from todos.services import TodoService
from todos.sweep import SweepReport
from todos.trash import PurgeReport, RestoreReport

logger = structlog.get_logger(__name__)

SECOND = 1_000  # Dramatiq counts in milliseconds.
MINUTE = 60 * SECOND


class Pong(TypedDict):
    """Which worker answered a ping, and when."""

    host: str
    pid: int
    answered_at: str


@dramatiq.actor(
    actor_name=TaskName.PING,
    queue_name="default",
    max_retries=0,  # The next one comes in a minute.
    recorded=False,  # Its runs say that it was answered, no more: the system's pulse.
    time_limit=10 * SECOND,
    store_results=True,
)
def ping() -> Pong:
    """Answer: the heartbeat, from the scheduler through broker and worker to the ledger."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "answered_at": timezone.now().isoformat(),
    }


@dramatiq.actor(
    actor_name=TaskName.TODO_CLEANUP,
    queue_name="default",
    max_retries=3,
    min_backoff=15 * SECOND,
    throws=(User.DoesNotExist, ValueError),  # No retry makes these good.
    check=TodoService.check_sweep,
    extension=CleanupExtension(),
    time_limit=30 * MINUTE,
    store_results=True,
)
def todo_cleanup(
    *, keep_days: int | None = None, batch_size: int | None = None, user_id: int | None = None
) -> SweepReport:
    """Sweep away the completed todos of everyone who takes part.

    Args:
        keep_days: instead of TODO_KEEP_COMPLETED_DAYS.
        batch_size: completed todos in one transaction.
        user_id: sweep this person's todos alone.

    Raises:
        User.DoesNotExist: there is no such person (any more).
        ValueError: an argument is out of bounds.
        ClocksDisagree: this host's clock or the database's is wrong; another host may do better.
    """
    run = current_run()
    report = TodoService.sweep(
        as_of=run.as_of,
        keep_days=keep_days,
        batch_size=batch_size,
        user=None if user_id is None else User.objects.get(pk=user_id),
        checkpoint=run,
    )
    logger.info("todos swept", **report)
    return report


@dramatiq.actor(
    actor_name=TaskName.TODO_PURGE,
    queue_name="default",
    permission="todos.purge_trashedtodo",
    max_retries=3,
    min_backoff=15 * SECOND,
    throws=(User.DoesNotExist, ValueError),
    check=TodoService.check_purge,
    extension=PurgeExtension(),
    time_limit=30 * MINUTE,
    store_results=True,
)
def todo_purge(*, days: int | None = None, user_id: int | None = None) -> PurgeReport:
    """Delete for good what has been in the trash for long enough.

    Args:
        days: how long todos stay there, instead of TODO_TRASH_DAYS.
        user_id: purge this person's trash alone.

    Raises:
        User.DoesNotExist: there is no such person (any more).
        ValueError: an argument is out of bounds.
        ClocksDisagree: this host's clock or the database's is wrong; another host may do better.
    """
    run = current_run()
    report = TodoService.purge(
        as_of=run.as_of,
        days=days,
        user=None if user_id is None else User.objects.get(pk=user_id),
        checkpoint=run,
    )
    logger.info("trash purged", **report)
    return report


@dramatiq.actor(
    actor_name=TaskName.TODO_RESTORE,
    queue_name="default",
    permission="tasks.undo_taskrun",
    max_retries=3,
    min_backoff=15 * SECOND,
    throws=(NotRestorable, ValueError),
    check=TodoService.check_restore,
    extension=RestoreExtension(),
    time_limit=30 * MINUTE,
    store_results=True,
)
def todo_restore(
    *, run_id: int | None = None, user_id: int | None = None, since: str | None = None
) -> RestoreReport:
    """Bring back from the trash what a run took, or what left a person's list since some time.

    Args:
        run_id: a cleanup.
        user_id: this person's alone.
        since: ISO 8601 with a zone.

    Raises:
        NotRestorable: there is nothing that this could mean.
    """
    report = TodoService.restore_selected(
        todos=todos_removed_by(run_id=run_id, user_id=user_id, since=since),
        checkpoint=current_run(),
    )
    logger.info("todos restored", **report)
    return report


@dramatiq.actor(
    actor_name=TaskName.RUNS_PRUNE,
    queue_name="default",
    max_retries=3,
    time_limit=30 * MINUTE,
    store_results=True,
)
def runs_prune() -> PruneReport:
    """Delete runs that ended long ago."""
    report = prune_runs()
    logger.info("runs pruned", **report)
    return report
