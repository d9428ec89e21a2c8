"""Records how an attempt at a run ended: its end, a retry, or a continuation."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from dramatiq import Broker, MessageProxy
from dramatiq.middleware import Shutdown, TimeLimitExceeded
from redis import exceptions as redis

from tasks.engine.database import DATABASE_AWAY, refuses_everyone
from tasks.engine.errors import error_name, format_error
from tasks.engine.models import MOST_CRASHES, TaskRun
from tasks.engine.runs.enqueue import send
from tasks.engine.runs.execution import (
    Continued,
    Execution,
    ProgressLost,
    RunTakenOver,
    Stopped,
    shutting_down,
)
from tasks.engine.runs.results import store_exception, store_result

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

#: Before a run continues if this process is to stop: it would fetch its own message again.
SHUTDOWN_DELAY = timedelta(seconds=1)

#: For actors that set no limits of their own; milliseconds, as in Dramatiq's options.
MAX_RETRIES = 3
MIN_BACKOFF_MILLISECONDS = 15_000
MAX_BACKOFF_MILLISECONDS = 60 * 60 * 1000


def close_attempt(
    broker: Broker,
    message: MessageProxy,
    execution: Execution,
    result: object,
    exception: BaseException | None,
) -> None:
    """Record how an attempt ended: its actor returned `result`, or raised `exception`.

    Dramatiq must not store a result unless this attempt has ended the run: otherwise this switches
    off the message's option `store_results`.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    run = execution.run
    if exception is None and execution.is_stored():
        if not run.succeed(result) and not _ended_here(run):
            message.options["store_results"] = False
    elif exception is None or isinstance(exception, Continued | ProgressLost):
        # Also if the actor returned, but the database has crashed and lost its last steps.
        message.options["store_results"] = False
        if run.continue_later(after=SHUTDOWN_DELAY if shutting_down.is_set() else timedelta()):
            run.refresh_from_db()
            send(run)
    elif isinstance(exception, Stopped):
        if run.end_stopped():
            run.refresh_from_db()
            store_result(run)
    elif isinstance(exception, RunTakenOver):
        # Another attempt owns the row now, and records the end.
        logger.warning("run taken over by another process", task=run.task, run=run.pk)
    else:
        options = {**broker.get_actor(run.task).options, **message.options}
        _close_failed(execution, options, exception)


def _close_failed(
    execution: Execution, options: Mapping[str, Any], exception: BaseException
) -> None:
    """Put the run back for another attempt, or fail it."""
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
            return
    elif not is_expected and run.failures < options.get("max_retries", MAX_RETRIES):
        run.retry(error, after=_backoff(options, run.failures))
        return
    # Not by message.fail(), which makes a dead letter: the row has it all.
    if run.fail(error) or _ended_here(run):
        store_exception(run, exception)


def _is_interruption(exception: BaseException, execution: Execution) -> bool:
    """Say whether an attempt ended through no fault of the actor's.

    A time limit is not its fault if time passed while the database was away or the process frozen.
    """
    if isinstance(exception, TimeLimitExceeded):
        return execution.was_held_up()
    return isinstance(exception, INTERRUPTIONS)


def _ended_here(run: TaskRun) -> bool:
    """Say whether this attempt has ended the run, and the database's answer was lost."""
    return TaskRun.objects.filter(pk=run.pk, attempts=run.attempts).finished().exists()


def _backoff(options: Mapping[str, Any], failures: int) -> timedelta:
    """Return how long to wait after a number of earlier failures: twice as long each time."""
    shortest = options.get("min_backoff", MIN_BACKOFF_MILLISECONDS)
    longest = options.get("max_backoff", MAX_BACKOFF_MILLISECONDS)
    return timedelta(milliseconds=min(shortest * 2**failures, longest))
