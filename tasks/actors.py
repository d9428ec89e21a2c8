"""What workers do: each actor unpacks a message, calls one service and returns plain data.

Any of them may run twice, die anywhere, and run beside itself.
"""

import os
import socket
from typing import TypedDict

import dramatiq
import structlog
from django.utils import timezone

from accounts.models import User
from tasks.execution import current_run
from tasks.names import TaskName
from tasks.pruning import PruneReport, prune_runs
from todos.services import TodoService
from todos.sweep import SweepReport

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
    throws=User.DoesNotExist,  # No retry brings them back.
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
    """
    run = current_run()
    report = TodoService.sweep(
        as_of=run.as_of,
        keep_days=keep_days,
        batch_size=batch_size,
        user=None if user_id is None else User.objects.get(pk=user_id),
        checkpoint=run,
    ).report()
    logger.info("todos swept", **report)
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
