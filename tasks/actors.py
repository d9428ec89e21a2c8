"""What workers do: each actor unpacks a message, calls one service and returns plain data.

Any of them may run twice, die anywhere, and run beside itself.
"""

import os
import socket
from datetime import UTC, datetime
from typing import TypedDict

import dramatiq
import structlog
from django.utils import timezone
from dramatiq.middleware import CurrentMessage

from accounts.models import User
from tasks.names import TaskName
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
    max_age=MINUTE,
    time_limit=10 * SECOND,
    store_results=True,
)
def ping() -> Pong:
    """Answer: the heartbeat that shows broker and worker are there."""
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
    report = TodoService.sweep(
        as_of=sent_at(),
        keep_days=keep_days,
        batch_size=batch_size,
        user=None if user_id is None else User.objects.get(pk=user_id),
    ).report()
    logger.info("todos swept", **report)
    return report


def sent_at() -> datetime:
    """Return when the message in hand was first sent: the same moment whenever it is run again.

    Outside a worker there is none, and the moment is now.
    """
    message = CurrentMessage.get_current_message()
    if message is None:
        return timezone.now()
    return datetime.fromtimestamp(message.message_timestamp / SECOND, tz=UTC)
