"""Runs that a command executes itself, instead of a worker; they are recorded as others are."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import cast

from django.db.models.functions import Now
from dramatiq import Message
from dramatiq.broker import get_broker
from structlog.contextvars import bound_contextvars

from tasks.engine.database import DATABASE_AWAY, refuses_everyone
from tasks.engine.errors import error_name, format_error
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import ProcessKind, State, TaskRun
from tasks.engine.runs.enqueue import Request
from tasks.engine.runs.execution import LOST_STEPS, Execution, ProgressLost, Stopped, set_current

#: The reason of a run that was cancelled because its command was told to end.
INTERRUPTED = "Its command was interrupted."


class Interrupted(Exception):  # noqa: N818  (it says what became of the run)
    """The database failed during the run: a worker continues it."""


def run_inline[R](
    request: Request,
    message: Message[R],
    *,
    on_progress: Callable[[Execution], None] = lambda _: None,
) -> R:
    """Call the function of a message's actor in this process, recorded as a run.

    Ctrl-C or SIGTERM end the run at its next step, as cancelled; a second one ends the command at
    once. If this process is killed instead, a worker continues the run, as with any other.

    Args:
        request: who asks for the run.
        message: the one that a worker would get.
        on_progress: called when the run has started, and after each of its steps.

    Returns:
        What the actor returns.

    Raises:
        Stopped: the run was told to stop, here or by an operator.
        ProgressLost, RunTakenOver, Interrupted: a worker continues the run.
        TypeError, ValueError: the message's arguments are refused.
    """
    with Heartbeat(ProcessKind.COMMAND) as heartbeat:
        run = request.record(
            message,
            state=State.RUNNING,
            started_at=Now(),
            attempted_at=Now(),
            progressed_at=Now(),
            held_by=heartbeat.id,
            worker=heartbeat.name,
            attempts=1,
        )
        run.refresh_from_db()
        execution = Execution(run, heartbeat, sliced=False, on_step=on_progress)
        with bound_contextvars(task=run.task, run=run.pk, attempt=1), failure_recorded(run):
            on_progress(execution)
            with stopped_by_signals(execution):
                result = call_actor(execution, message)
            if not execution.read(execution.is_stored):
                raise ProgressLost
        execution.read(lambda: run.succeed(result))
    return result


def call_actor[R](execution: Execution, message: Message[R]) -> R:
    """Call the function of a message's actor, with this execution as its `current_run`."""
    function = get_broker().get_actor(message.actor_name).fn
    before = set_current(execution)
    try:
        return cast("R", function(*message.args, **message.kwargs))
    finally:
        set_current(before)


@contextmanager
def failure_recorded(run: TaskRun) -> Iterator[None]:
    """Record how a run ended if the block raises.

    If the database is away even for that, the run is an orphan, and a worker continues it.
    """
    try:
        yield
    except (Stopped, KeyboardInterrupt) as stop:
        with suppress(*DATABASE_AWAY):
            run.request_stop(INTERRUPTED)
            run.end_stopped()
        raise Stopped from stop
    except ProgressLost:
        run.continue_later(after=timedelta(), interrupted_by=LOST_STEPS)
        raise
    except DATABASE_AWAY as error:
        with suppress(*DATABASE_AWAY):
            counted = not refuses_everyone(error)
            run.interrupt(format_error(error), after=timedelta(), counted=counted)
        raise Interrupted(f"the database failed with {error_name(error)}") from error
    except BaseException as error:
        with suppress(*DATABASE_AWAY):
            run.fail(format_error(error), why=error_name(error))
        raise


@contextmanager
def stopped_by_signals(execution: Execution) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop a run at its next step, and a second one at once."""

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's form)
        if execution.stop_requested.is_set():
            raise KeyboardInterrupt
        execution.stop_requested.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
