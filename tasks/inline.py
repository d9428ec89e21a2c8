"""Runs that a command works on itself, instead of a worker, and that the ledger records as well."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models.functions import Now
from dramatiq import Message

from tasks.execution import Execution
from tasks.models import ProcessKind, State
from tasks.presence import Presence
from tasks.sending import Request


@contextmanager
def running_here(request: Request, message: Message[Any]) -> Iterator[Execution]:
    """Record what the block does as the run that this message asks for.

    The block leaves its result in the execution's `result`. If this process is killed meanwhile, a
    worker carries the run on, as with any other.

    Yields:
        The execution, whose steps keep the account.
    """
    with Presence(ProcessKind.COMMAND) as presence:
        run = request.record(
            message,
            state=State.RUNNING,
            started_at=Now(),
            held_by=presence.id,
            worker=presence.name,
            attempts=1,
        )
        run.refresh_from_db()
        execution = Execution(run, presence.id, sliced=False)
        try:
            yield execution
        except BaseException:
            run.fail(traceback.format_exc())
            raise
        run.succeed(execution.result)
