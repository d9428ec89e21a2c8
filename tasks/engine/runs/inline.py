"""Runs that a command works on itself, instead of a worker, and that the ledger records as well."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any

from django.db.models.functions import Now
from dramatiq import Message

from tasks.engine.errors import error_name, format_error
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import ProcessKind, State
from tasks.engine.outages import DATABASE_AWAY, refuses_everyone
from tasks.engine.runs.enqueue import Request
from tasks.engine.runs.execution import Execution, Rewound, Stopped

#: Why a run was cancelled whose command was told to end.
INTERRUPTED = "Its command was interrupted."


class Interrupted(Exception):  # noqa: N818  (it says what became of the run)
    """The database failed in the middle: a worker carries the run on."""


@contextmanager
def inline_run(request: Request, message: Message[Any]) -> Iterator[Execution]:
    """Record what the block does as the run that this message asks for.

    The block leaves its result in the execution's `result`. Ctrl-C or SIGTERM end the run at its
    next step, as cancelled; a second one ends the command at once. If this process is killed
    instead, a worker carries the run on, as with any other.

    Yields:
        The execution, whose steps keep the account.

    Raises:
        Stopped: the run was told to stop, here or by an operator.
        Rewound: the database has lost steps; a worker carries the run on.
        Interrupted: the database failed; a worker carries the run on.
        TypeError, ValueError: the message's arguments are refused.
    """
    with Heartbeat(ProcessKind.COMMAND) as heartbeat:
        run = request.record(
            message,
            state=State.RUNNING,
            started_at=Now(),
            progressed_at=Now(),
            held_by=heartbeat.id,
            worker=heartbeat.name,
            attempts=1,
        )
        run.refresh_from_db()
        execution = Execution(run, heartbeat, sliced=False)
        try:
            with stopped_by_signals(execution):
                yield execution
            if not execution.read(execution.is_kept):
                raise Rewound  # noqa: TRY301  (as a step does that finds so)
        except (Stopped, KeyboardInterrupt) as stop:
            with suppress(*DATABASE_AWAY):
                run.request_stop(INTERRUPTED)
                run.end_stopped()
            raise Stopped from stop
        except Rewound:
            run.continue_later(after=timedelta())
            raise
        except DATABASE_AWAY as error:
            with suppress(*DATABASE_AWAY):  # Then a worker finds the run without its process.
                run.interrupt(
                    format_error(error), after=timedelta(), counted=not refuses_everyone(error)
                )
            raise Interrupted(error_name(error)) from error
        except BaseException as error:
            with suppress(*DATABASE_AWAY):
                run.fail(format_error(error))
            raise
        execution.read(lambda: run.succeed(execution.result))


@contextmanager
def stopped_by_signals(execution: Execution) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM stop a run at its next step; the second one stops it at once."""

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a handler's form)
        if execution.to_stop.is_set():
            raise KeyboardInterrupt
        execution.to_stop.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
