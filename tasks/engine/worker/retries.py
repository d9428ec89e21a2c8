"""Decides what follows a failed attempt: another one, now or later, or the end of the run."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from dramatiq.middleware import Shutdown, TimeLimitExceeded
from redis import exceptions as redis

from tasks.engine.database import DATABASE_AWAY, refuses_everyone
from tasks.engine.errors import error_name, format_error
from tasks.engine.models import MOST_CRASHES, TaskRun
from tasks.engine.runs.execution import Execution

logger = structlog.get_logger(__name__)

#: Not the actor's fault: the run continues, and this does not count as a failure.
INTERRUPTIONS = (*DATABASE_AWAY, redis.RedisError, Shutdown)

#: What the broker's client raises if the broker is away, or refuses every client for now.
BROKER_AWAY = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.OutOfMemoryError,
)

#: Before an interrupted run continues: three times as long after each interruption without
#: progress, so that a table locked for two minutes does not use up `MOST_CRASHES`.
MIN_INTERRUPTION_DELAY = timedelta(seconds=5)
MAX_INTERRUPTION_DELAY = timedelta(seconds=60)

#: For actors that set no limits of their own; milliseconds, as in Dramatiq's options.
MAX_RETRIES = 3
MIN_BACKOFF_MILLISECONDS = 15_000
MAX_BACKOFF_MILLISECONDS = 60 * 60 * 1000


def retry_or_fail(
    execution: Execution, options: Mapping[str, Any], exception: BaseException
) -> bool:
    """Put the run of a failed attempt back for another one, or fail it.

    Args:
        options: the actor's, and its message's.

    Returns:
        Whether the run has ended.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    run = execution.run
    crashes = TaskRun.objects.values_list("crashes", flat=True).get(pk=run.pk)
    error = format_error(exception)
    is_expected = isinstance(exception, options.get("throws") or ())
    if _is_interruption(exception, execution) and not is_expected:
        counted = not (isinstance(exception, BROKER_AWAY) or refuses_everyone(exception))
        after = min(MIN_INTERRUPTION_DELAY * 3**crashes, MAX_INTERRUPTION_DELAY)
        if not counted or crashes + 1 < MOST_CRASHES:
            logger.warning(
                "run interrupted", task=run.task, run=run.pk, reason=error_name(exception)
            )
            run.interrupt(error, after=after, counted=counted)
            return False
    elif not is_expected and run.failures < options.get("max_retries", MAX_RETRIES):
        run.retry(error, after=_backoff(options, run.failures))
        return False
    # Not by message.fail(), which makes a dead letter: the row has it all.
    return run.fail(error, why=error_name(exception)) or run.ended_by_this_attempt()


def _is_interruption(exception: BaseException, execution: Execution) -> bool:
    """Say whether an attempt ended through no fault of the actor's.

    A time limit is not its fault if time passed while the database was away or the process frozen.
    """
    if isinstance(exception, TimeLimitExceeded):
        return execution.was_held_up()
    return isinstance(exception, INTERRUPTIONS)


def _backoff(options: Mapping[str, Any], failures: int) -> timedelta:
    """Return how long to wait after a number of earlier failures: twice as long each time."""
    shortest = options.get("min_backoff", MIN_BACKOFF_MILLISECONDS)
    longest = options.get("max_backoff", MAX_BACKOFF_MILLISECONDS)
    return timedelta(milliseconds=min(shortest * 2**failures, longest))
