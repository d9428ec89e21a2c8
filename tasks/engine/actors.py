"""The engine's own tasks: the ping that shows that everything works, housekeeping, and what
operators do with many runs at once.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import dramatiq
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from tasks.engine.extension import TaskExtension
from tasks.engine.operations import bulk
from tasks.engine.operations.bulk import ACKNOWLEDGE, CANCEL, BulkReport, Verb
from tasks.engine.operations.permissions import START
from tasks.engine.operations.pruning import PruneReport, prune_runs
from tasks.engine.operations.selection import Selection, check_selection
from tasks.engine.runs.execution import current_run

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS


class Pong(TypedDict):
    """Which worker answered a ping, and when."""

    host: str
    pid: int
    answered_at: str


@dramatiq.actor(
    actor_name="ping",
    queue_name="default",
    max_retries=0,  # The next one comes in a minute.
    recorded=False,  # A run of it records only that it was answered.
    time_limit=10 * SECOND_MS,
)
def ping() -> Pong:
    """Answer: each slot passes from the scheduler through broker and worker to the database."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "answered_at": timezone.now().isoformat(),
    }


class PruneExtension(TaskExtension):
    counts = {"runs_deleted": ("run deleted", "runs deleted")}


@dramatiq.actor(
    actor_name="runs.prune",
    queue_name="default",
    max_retries=3,
    extension=PruneExtension(),
    time_limit=30 * MINUTE_MS,
)
def runs_prune() -> PruneReport:
    """Delete runs that ended long ago."""
    return prune_runs()


class BulkExtension(TaskExtension):
    """What a bulk operation counts.

    Args:
        done: what was done to a run: `retried`.
    """

    def __init__(self, done: str) -> None:
        self.counts = {
            "matched": ("run matched", "runs matched"),
            "done": (done, done),
            "refused": ("left as it was", "left as they were"),
            "rows": (f"run {done}", f"runs {done}"),
        }


#: Of bulk operations. They have a queue of their own: what clogs another does not hold them up.
BULK: Any = {
    "queue_name": "operators",
    "max_retries": 3,
    "min_backoff": 15 * SECOND_MS,
    "throws": (PermissionDenied, ValueError),  # A retry would not help.
    "check": check_selection,
    "time_limit": 30 * MINUTE_MS,
}


# Each run that it retries takes its own task's permission as well.
@dramatiq.actor(
    actor_name="runs.retry", permission=START, extension=BulkExtension("retried"), **BULK
)
def runs_retry(
    *,
    up_to: int,
    until: str,
    matching: Mapping[str, Any] | None = None,
    ticked: Sequence[int] | None = None,
    confirmed: Sequence[str] = (),
) -> BulkReport:
    """Start again all ended runs that match, or those that were ticked.

    Args:
        up_to: the highest number of a run to retry.
        until: when this was asked for, in ISO 8601; runs that ended later are left alone.
        matching: what the runs are like, as `RunFilter` has it.
        ticked: the runs' numbers, in place of `matching`.
        confirmed: the tasks whose question the operator has confirmed.
    """
    selection = Selection.of_arguments(matching=matching, ticked=ticked, up_to=up_to, until=until)
    return bulk.execute(Verb.RETRY, selection, run=current_run(), confirmed=confirmed)


# To stop a run at work takes a permission of its own as well.
@dramatiq.actor(
    actor_name="runs.cancel",
    permission=CANCEL,
    extension=BulkExtension("cancelled or told to stop"),
    **BULK,
)
def runs_cancel(
    *,
    up_to: int,
    until: str,
    matching: Mapping[str, Any] | None = None,
    ticked: Sequence[int] | None = None,
) -> BulkReport:
    """Cancel all waiting runs that match, or those that were ticked, and stop those at work.

    The arguments are those of the task `runs.retry`, without `confirmed`.
    """
    selection = Selection.of_arguments(matching=matching, ticked=ticked, up_to=up_to, until=until)
    return bulk.execute(Verb.CANCEL, selection, run=current_run())


@dramatiq.actor(
    actor_name="runs.acknowledge",
    permission=ACKNOWLEDGE,
    extension=BulkExtension("acknowledged"),
    **BULK,
)
def runs_acknowledge(
    *,
    up_to: int,
    until: str,
    matching: Mapping[str, Any] | None = None,
    ticked: Sequence[int] | None = None,
) -> BulkReport:
    """Acknowledge all failures and errors that match, or those that were ticked.

    The arguments are those of the task `runs.retry`, without `confirmed`.
    """
    selection = Selection.of_arguments(matching=matching, ticked=ticked, up_to=up_to, until=until)
    return bulk.execute(Verb.ACKNOWLEDGE, selection, run=current_run())
