"""The engine's own tasks: the ping that shows that everything works, and housekeeping."""

import os
import socket
from typing import TypedDict

import dramatiq
from django.utils import timezone

from tasks.engine.extension import TaskExtension
from tasks.engine.operations.pruning import PruneReport, prune_runs

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
