"""Waits until a run has ended."""

from time import monotonic, sleep
from typing import Any

from django.core.management.base import CommandError

from tasks.engine.models import State, TaskRun
from tasks.engine.monitoring.pauses import pause_of

#: The longest that a command can be told to wait.
MAX_WAIT_SECONDS = 24 * 60 * 60

#: Between two reads of a run's row.
READ_ROW_SECONDS = 0.1


def has_ended(run: TaskRun, *, seconds: int) -> bool:
    """Wait until a run has ended, for this long at most; return whether it has."""
    deadline = monotonic() + seconds
    while not run.is_finished and monotonic() < deadline:
        sleep(READ_ROW_SECONDS)
        run.refresh_from_db()
    return run.is_finished


def result_of(run: TaskRun, *, seconds: int) -> Any:
    """Wait for the result of a run, for this long at most.

    Raises:
        CommandError: it did not end in time, or did not succeed.
    """
    if not has_ended(run, seconds=seconds):
        raise CommandError(
            f"Run {run.pk} of {run.task} has not ended within {seconds} s; it is {run.state}, and a"
            f" worker ends it later. {pause_of(run.queue)}".rstrip()
        )
    if run.state != State.SUCCEEDED:
        raise CommandError(f"{run.task} failed: {run.error_summary}")
    return run.result
