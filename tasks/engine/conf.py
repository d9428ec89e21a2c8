"""The settings of the engine: Dramatiq's, as one call, and how long a silent process is waited for.

A settings module imports this, so nothing here may need Django's apps.
"""

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from dramatiq.results import Results

from tasks.engine.broker.clients import client_for
from tasks.engine.runs.result_backend import ResultBackend

#: How long a result is kept for whoever waits for it.
RESULT_TTL_MS = 24 * 60 * 60 * 1000

#: Waiting for a result blocks on the socket, so this must outlast one wait: redis-py's own time-out
#: is 5 seconds.
RESULT_SOCKET_TIMEOUT_SECONDS = 60

#: Workers are woken for each message. They also poll, this often, in case a wake-up is lost.
POLL_MS = 1_000

#: Whoever finds the messages of a dead worker does so in a maintenance pass, which each command
#: starts with this chance in a million. At Dramatiq's default of 1,000 they would wait for minutes.
MAINTENANCE_CHANCE = 200_000

#: A process that has written no heartbeat for this long counts as gone.
DEFAULT_LIVENESS_SECONDS = 60

#: What it may be set to: a shorter one would be missed by a process that is merely busy.
MIN_LIVENESS_SECONDS = 5
MAX_LIVENESS_SECONDS = 3_600


def liveness_seconds() -> int:
    """Return `TASKS_LIVENESS_SECONDS` of the settings, or the default."""
    return int(getattr(settings, "TASKS_LIVENESS_SECONDS", DEFAULT_LIVENESS_SECONDS))


def check_liveness(**_: Any) -> list[CheckMessage]:
    """Check `TASKS_LIVENESS_SECONDS`, as one of Django's system checks."""
    given = getattr(settings, "TASKS_LIVENESS_SECONDS", DEFAULT_LIVENESS_SECONDS)
    if isinstance(given, int) and MIN_LIVENESS_SECONDS <= given <= MAX_LIVENESS_SECONDS:
        return []
    bounds = f"from {MIN_LIVENESS_SECONDS} to {MAX_LIVENESS_SECONDS}"
    text = f"TASKS_LIVENESS_SECONDS must be a whole number {bounds}, not {given!r}."
    return [Error(text, id="tasks.E006")]


def dramatiq_broker(
    url: str, *, liveness_seconds: int = DEFAULT_LIVENESS_SECONDS
) -> dict[str, Any]:
    """Return the setting `DRAMATIQ_BROKER` with which the engine keeps its promises.

    It also sets `dramatiq_worker_timeout`, which Dramatiq reads from the environment, unless that
    is set already.

    Args:
        url: the address of Redis or Valkey, such as `redis://localhost:6379/0`, or of their
            Sentinels (`tasks/engine/broker/clients.py`).
        liveness_seconds: the same as the setting `TASKS_LIVENESS_SECONDS`. What a dead worker had
            fetched returns to the queue after this time.
    """
    os.environ.setdefault("dramatiq_worker_timeout", str(POLL_MS))
    client = client_for(url, socket_timeout=RESULT_SOCKET_TIMEOUT_SECONDS)
    return {
        "BROKER": "tasks.engine.broker.waking.WakingBroker",
        "OPTIONS": {
            "url": url,
            "heartbeat_timeout": liveness_seconds * 1000,
            "maintenance_chance": MAINTENANCE_CHANCE,
        },
        # This list replaces Dramatiq's own. "After" hooks run in reverse order: the time limit
        # stops first, then the run is closed, then the result is stored, and the database
        # connections are closed last.
        "MIDDLEWARE": [
            "tasks.engine.worker.context.ContextCarrier",
            "django_dramatiq.middleware.DbConnectionsMiddleware",
            "dramatiq.middleware.AgeLimit",
            "dramatiq.middleware.ShutdownNotifications",
            "dramatiq.middleware.Callbacks",
            "dramatiq.middleware.Pipelines",
            "tasks.engine.worker.middleware.UnrecordedRetries",
            Results(
                backend=ResultBackend(client=client), store_results=True, result_ttl=RESULT_TTL_MS
            ),
            "tasks.engine.worker.quiet.QuietOutages",
            "tasks.engine.worker.middleware.RunLedger",
            "dramatiq.middleware.TimeLimit",
        ],
    }
