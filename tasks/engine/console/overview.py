"""What the console's first page shows. If a part cannot be read, the others are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import DatabaseError
from django.db.models import Q

from tasks.engine.console.charts import Drawing
from tasks.engine.console.daily import read_charts
from tasks.engine.console.processes import ProcessRow, process_rows
from tasks.engine.console.queues import QueueRow, queue_rows
from tasks.engine.console.schedule_words import pause_in_words
from tasks.engine.console.sparkline import Sparkline, sparklines
from tasks.engine.database import statement_timeout
from tasks.engine.models import State, TaskRun
from tasks.engine.monitoring.clock import seconds_since
from tasks.engine.monitoring.headline import Headline, headline
from tasks.engine.monitoring.problems import problems
from tasks.engine.monitoring.schedules import ScheduleStatus
from tasks.engine.monitoring.status import Status, gather
from tasks.engine.operations.permissions import withhold
from tasks.engine.operations.runs import can_be_stopped
from tasks.engine.words import duration, reason

logger = structlog.get_logger(__name__)

#: How long (ms) PostgreSQL may take for one statement of a page.
STATEMENT_TIMEOUT_MS = 3_000

#: Unfinished runs that are shown one by one, the latest ones.
MAX_ACTIVE = 20

#: A run that has done less than this, of 1, does not say how long it will take.
LEAST_DONE = 0.02


@dataclass(frozen=True)
class ActiveRun:
    """An unfinished run at a moment, and its progress where that is known."""

    run: TaskRun
    now: datetime

    @property
    def elapsed_seconds(self) -> float:
        return seconds_since(self.run.started_at or self.now, self.now)

    @property
    def since(self) -> datetime:
        return self.run.started_at or self.run.created_at

    @property
    def done(self) -> float | None:
        """The part of its work that is done, from 0 to 1; None if it says none that can be."""
        done = self._number("done")
        return done if done is not None and 0 <= done <= 1 else None

    @property
    def percent(self) -> int:
        return int(100 * (self.done or 0))

    @property
    def progress(self) -> str:
        """What it has counted, how fast, and how long it will take.

        Nothing is counted that the task's extension does not name.
        """
        rows, done, elapsed = self._number("rows"), self.done, self.elapsed_seconds
        is_moving = self.run.state == State.RUNNING and elapsed >= 1
        parts = []
        if rows is not None and (counted := self.run.summary):
            parts.append(counted)
            if is_moving:
                parts.append(f"{rows / elapsed:,.0f} a second")
        if is_moving and done and done >= LEAST_DONE:
            parts.append(f"about {duration(elapsed * (1 - done) / done)} left")
        return ", ".join(parts)

    @property
    def state(self) -> Headline:
        return headline(self.run, self.now)

    @property
    def worker(self) -> str:
        return self.run.worker if self.run.state == State.RUNNING else ""

    @property
    def can_be_stopped(self) -> bool:
        return can_be_stopped(self.run)

    def _number(self, name: str) -> float | None:
        value = self.run.progress.get(name) if isinstance(self.run.progress, dict) else None
        return value if isinstance(value, int | float) else None


@dataclass(frozen=True)
class ShownSchedule:
    """A schedule, and its last runs if they could be read and there are any."""

    status: ScheduleStatus
    sparkline: Sparkline | None

    @property
    def pause(self) -> str:
        """Since when it is paused, by whom and why; empty if it is active."""
        return pause_in_words(self.status.row)


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The page's content.

    Attributes:
        unread: what could not be read, and why. Unless it is empty, the state is unknown.
        more_active: how many unfinished runs there are beyond those in `active_runs`.
    """

    problems: tuple[str, ...]
    unread: tuple[str, ...]
    status: Status | None
    schedules: tuple[ShownSchedule, ...]
    active_runs: tuple[ActiveRun, ...]
    more_active: int
    queues: Sequence[QueueRow]
    processes: Sequence[ProcessRow]
    charts: tuple[Drawing, ...]

    @property
    def verdict(self) -> str:
        """`problems`, `unknown` or `well`."""
        if self.problems:
            return "problems"
        return "unknown" if self.unread else "well"


def read_overview(*, with_errors: bool, with_charts: bool) -> Overview:
    """Read the page's content; without the texts of errors, only say that there are some."""
    reading = Reading()
    unread = reading.attempt(with_charts=with_charts)
    status, total = reading.status, 0
    if status:
        total = sum(each.pending + each.queued + each.running for each in status.active_runs)
        if not with_errors:
            withhold_errors(status)
    return Overview(
        problems=tuple(problems(status)) if status else (),
        unread=tuple(unread),
        status=status,
        schedules=tuple(
            ShownSchedule(schedule, reading.sparklines.get(schedule.row.pk))
            for schedule in (status.schedules if status else ())
        ),
        active_runs=reading.active_runs,
        more_active=max(0, total - len(reading.active_runs)),
        queues=queue_rows(status) if status else (),
        processes=reading.processes,
        charts=reading.charts,
    )


class Reading:
    """Reads the page's parts, in one transaction as long as none fails."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self.sparklines: Mapping[int, Sparkline] = {}
        self.active_runs: tuple[ActiveRun, ...] = ()
        self.processes: tuple[ProcessRow, ...] = ()
        self.charts: tuple[Drawing, ...] = ()

    def attempt(self, *, with_charts: bool) -> list[str]:
        """Read all parts; return those that could not be read, and why."""
        waiting = [
            ("the status", self._read_status),
            ("the last slots", self._read_last_slots),
            ("the active runs", self._read_active_runs),
        ]
        if with_charts:
            waiting.append(("the charts", self._read_charts))
        unread = []
        while waiting:
            try:
                with statement_timeout(STATEMENT_TIMEOUT_MS):
                    while waiting:
                        waiting[0][1]()
                        waiting.pop(0)
            except Exception as error:
                what, _ = waiting.pop(0)
                if not isinstance(error, DatabaseError):  # A chart of some extension, most likely.
                    logger.exception("part of the console failed", part=what)
                unread.append(f"{what}: {reason(error)}")
        return unread

    def _read_status(self) -> None:
        self.status = gather()

    def _read_last_slots(self) -> None:
        if self.status:
            self.sparklines = sparklines([each.row for each in self.status.schedules])

    def _read_active_runs(self) -> None:
        if self.status:
            runs = active_runs()
            self.active_runs = tuple(ActiveRun(run, self.status.now) for run in runs[:MAX_ACTIVE])
            self.processes = process_rows(self.status.processes, runs)

    def _read_charts(self) -> None:
        if self.status:
            self.charts = read_charts(self.status.now)


def active_runs() -> list[TaskRun]:
    """Return the latest unfinished runs, and all that are running, the newest first."""
    unfinished = TaskRun.objects.unfinished()
    latest = Q(pk__in=unfinished.order_by("-pk").values("pk")[:MAX_ACTIVE])
    found = unfinished.noting_obstacles().filter(latest | Q(state=State.RUNNING))
    return list(found.order_by("-pk"))


def withhold_errors(status: Status) -> None:
    """Replace the texts of errors in the rows of a status, which nobody saves."""
    last_runs = (schedule.last_run for schedule in status.schedules)
    for run in (*last_runs, *status.failures.latest, *status.unacknowledged.latest):
        if run:
            run.error = withhold(run.error, unless=False)
