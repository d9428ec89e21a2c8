"""Reads what database and broker say: the parts that answer in time, whatever the others do."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock, Thread
from time import monotonic

import structlog
from django.db import connection
from django.utils import timezone
from dramatiq.broker import get_broker
from redis.exceptions import RedisError

from tasks.engine.broker.queues import read_queues
from tasks.engine.database import DATABASE_AWAY, statement_timeout
from tasks.engine.metrics.families import AnyMetric
from tasks.engine.metrics.runs import run_metrics
from tasks.engine.metrics.status import queue_metrics, status_metrics
from tasks.engine.monitoring.status import gather
from tasks.engine.outages import Outages

logger = structlog.get_logger(__name__)

#: After this long, what has not been read is left out. A scrape itself is given up after 10 s.
ANSWER_WITHIN_SECONDS = 1.5

#: PostgreSQL ends a statement that nobody waits for any more.
STATEMENT_TIMEOUT_MS = 1_500

#: Logs once that a part cannot be read, and once that it can be again.
outages = Outages()


@dataclass(frozen=True)
class Part:
    """What was read, and how long that took (seconds); `metrics` is None if it failed."""

    metrics: tuple[AnyMetric, ...] | None
    seconds: float


def read_part(name: str, read: Callable[[], Iterable[AnyMetric]]) -> Part:
    began = monotonic()
    metrics: tuple[AnyMetric, ...] | None = None
    try:
        metrics = tuple(read())
    except (*DATABASE_AWAY, RedisError) as error:
        outages.report(f"metrics of {name}", error, how="not readable")
    except Exception:
        # A scrape must say what it can, and that this part is missing.
        logger.exception("metrics failed", part=name)
    else:
        outages.resolve(f"metrics of {name}")
    return Part(metrics, monotonic() - began)


def read_broker() -> Iterable[AnyMetric]:
    names = {actor.queue_name for actor in get_broker().actors.values()}
    return queue_metrics(read_queues(sorted(names), timezone.now()))


def read_status() -> Iterable[AnyMetric]:
    with statement_timeout(STATEMENT_TIMEOUT_MS):
        return status_metrics(gather())


def read_runs() -> Iterable[AnyMetric]:
    with statement_timeout(STATEMENT_TIMEOUT_MS):
        return tuple(run_metrics())


#: What the database is asked for.
OF_DATABASE: Mapping[str, Callable[[], Iterable[AnyMetric]]] = {
    "status": read_status,
    "runs": read_runs,
}


class Attempt(Thread):
    """Asks the database, in a thread of its own: nothing else ends the wait for a frozen server."""

    def __init__(self) -> None:
        super().__init__(name="metrics", daemon=True)
        self.began = monotonic()
        self.parts: dict[str, Part] = {}

    def run(self) -> None:
        try:
            for name, read in OF_DATABASE.items():
                self.parts[name] = read_part(name, read)
        finally:
            connection.close()


class DatabaseReader:
    """Asks the database for one scrape after the other; at most one thread waits for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._attempt: Attempt | None = None

    def begin(self) -> Attempt:
        """Begin to ask, unless that has been begun and not ended; two scrapes may share it."""
        with self._lock:
            if self._attempt is None or not self._attempt.is_alive():
                self._attempt = Attempt()
                self._attempt.start()
            return self._attempt


reader = DatabaseReader()


def read_parts() -> dict[str, Part]:
    """Return all parts, within ANSWER_WITHIN_SECONDS or little more."""
    began = monotonic()
    attempt = reader.begin()
    parts = {"broker": read_part("broker", read_broker)}
    attempt.join(max(0, began + ANSWER_WITHIN_SECONDS - monotonic()))
    # What an attempt has read that began long ago is no longer so.
    is_recent = attempt.began > began - ANSWER_WITHIN_SECONDS
    for name in OF_DATABASE:
        part = attempt.parts.get(name) if is_recent else None
        if part is None:
            late = TimeoutError(f"no answer within {ANSWER_WITHIN_SECONDS} s")
            outages.report(f"metrics of {name}", late, how="not readable")
        parts[name] = part or Part(None, monotonic() - attempt.began)
    return parts
