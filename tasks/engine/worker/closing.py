"""Records how an attempt at a run ended: its end, a retry, or a continuation."""

from datetime import timedelta

import structlog
from dramatiq import Broker, MessageProxy

from tasks.engine.runs.enqueue import send
from tasks.engine.runs.execution import (
    LOST_STEPS,
    Continued,
    Execution,
    ProgressLost,
    RunTakenOver,
    Stopped,
    shutting_down,
)
from tasks.engine.runs.results import store_exception, store_result
from tasks.engine.worker.retries import retry_or_fail

logger = structlog.get_logger(__name__)

#: Before a run continues if this process is to stop: it would fetch its own message again.
SHUTDOWN_DELAY = timedelta(seconds=1)


def close_attempt(
    broker: Broker,
    message: MessageProxy,
    execution: Execution,
    result: object,
    exception: BaseException | None,
) -> None:
    """Record how an attempt ended: its actor returned `result`, or raised `exception`.

    Unless this attempt has ended the run, the message's option `store_results` becomes False.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    run = execution.run
    if exception is None and execution.is_stored():
        if not run.succeed(result) and not run.ended_by_this_attempt():
            message.options["store_results"] = False
    elif exception is None or isinstance(exception, Continued | ProgressLost):
        # Also if the actor returned, but the database has crashed and lost its last steps.
        message.options["store_results"] = False
        after = SHUTDOWN_DELAY if shutting_down.is_set() else timedelta()
        lost = "" if isinstance(exception, Continued) else LOST_STEPS
        if run.continue_later(after=after, interrupted_by=lost):
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
        if retry_or_fail(execution, options, exception):
            store_exception(run, exception)
