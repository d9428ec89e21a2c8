"""What the console's first page shows. If a part cannot be read, the others are shown."""

from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError

from tasks.engine.console.charts import Drawing
from tasks.engine.console.daily import charts, read_days
from tasks.engine.database import statement_timeout
from tasks.engine.models import State, TaskRun
from tasks.engine.monitoring.clock import seconds_since
from tasks.engine.monitoring.problems import problems
from tasks.engine.monitoring.status import Status, gather
from tasks.engine.operations.permissions import withhold
from tasks.engine.operations.runs import can_be_stopped
from tasks.engine.words import duration, reason

#: How long (ms) PostgreSQL may take for one statement of a page.
STATEMENT_TIMEOUT_MS = 3_000

#: Unfinished runs that are shown one by one, the latest ones.
MAX_ACTIVE = 20

#: A run that has done less than this, of 1, does not say how long it will take.
LEAST_DONE = 0.02


@dataclass(frozen=True, kw_only=True)
class ActiveRun:
    """An unfinished run, and how far it is.

    Attributes:
        since: when it started; when it was created, if it has not started.
        rows: how many rows it has processed; None if unknown.
        done: the part of its work that is done, from 0 to 1; None if unknown.
        rate: rows a second; None if unknown.
        seconds_left: an estimate; None if unknown.
    """

    run: TaskRun
    since: datetime
    rows: int | None
    done: float | None
    rate: float | None
    seconds_left: float | None

    @property
    def percent(self) -> int:
        """The part of its work that is done, in whole per cent."""
        return int(100 * (self.done or 0))

    @property
    def progress(self) -> str:
        """How far it is, how fast, and how long it will take, as far as that is known."""
        parts = (
            "" if self.rows is None else f"{self.rows:,} rows",
            "" if self.rate is None else f"{self.rate:,.0f} a second",
            "" if self.seconds_left is None else f"about {duration(self.seconds_left)} left",
        )
        return ", ".join(filter(None, parts))

    @property
    def state(self) -> str:
        """Its state, which attempt it is if not the first, and whether it was asked to stop."""
        parts = (
            self.run.state,
            f"attempt {self.run.attempts}" if self.run.attempts > 1 else "",
            "asked to stop" if self.run.stop_requested_at else "",
        )
        return ", ".join(filter(None, parts))

    @property
    def worker(self) -> str:
        """Which process runs it; empty if none does."""
        return self.run.worker if self.run.state == State.RUNNING else ""

    @property
    def can_be_stopped(self) -> bool:
        """Whether it has started, and nobody has asked it to stop."""
        return can_be_stopped(self.run)


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The page's content.

    Attributes:
        problems: what an operator must act on.
        unread: what could not be read, and why. Unless it is empty, the state is unknown.
        status: None if it could not be read.
        more_active: how many unfinished runs there are beyond those in `active_runs`.
    """

    problems: tuple[str, ...]
    unread: tuple[str, ...]
    status: Status | None
    active_runs: tuple[ActiveRun, ...]
    more_active: int
    charts: tuple[Drawing, ...]

    @property
    def verdict(self) -> str:
        """`problems`, `unknown` or `well`."""
        if self.problems:
            return "problems"
        return "unknown" if self.unread else "well"


def read_overview(*, with_errors: bool, with_charts: bool = True) -> Overview:
    """Read the page's content.

    Args:
        with_errors: show the texts of errors; otherwise only that there are some.
        with_charts: draw the charts.
    """
    reading = Reading()
    unread = reading.attempt(with_charts=with_charts)
    status = reading.status
    if status and not with_errors:
        withhold_errors(status)
    total = (
        sum(each.pending + each.queued + each.running for each in status.active_runs)
        if status
        else 0
    )
    return Overview(
        problems=tuple(problems(status)) if status else (),
        unread=tuple(unread),
        status=status,
        active_runs=reading.active_runs,
        more_active=max(0, total - len(reading.active_runs)),
        charts=reading.charts,
    )


class Reading:
    """Reads the page's parts, in one transaction as long as none fails."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self.active_runs: tuple[ActiveRun, ...] = ()
        self.charts: tuple[Drawing, ...] = ()

    def attempt(self, *, with_charts: bool) -> list[str]:
        """Read all parts; return those that could not be read, and why."""
        parts = {"the status": self._read_status, "the active runs": self._read_active_runs}
        if with_charts:
            parts["the charts"] = self._read_charts
        waiting, unread = list(parts.items()), []
        while waiting:
            try:
                with statement_timeout(STATEMENT_TIMEOUT_MS):
                    while waiting:
                        waiting[0][1]()
                        waiting.pop(0)
            except DatabaseError as error:
                what, _ = waiting.pop(0)
                unread.append(f"{what}: {reason(error)}")
        return unread

    def _read_status(self) -> None:
        self.status = gather()

    def _read_active_runs(self) -> None:
        if self.status:
            self.active_runs = active_runs(self.status.now)

    def _read_charts(self) -> None:
        if self.status:
            wanted = charts()
            days = read_days(wanted, self.status.now)
            self.charts = tuple(chart.draw(days) for chart in wanted)


def active_runs(now: datetime) -> tuple[ActiveRun, ...]:
    """Return the latest unfinished runs."""
    runs = TaskRun.objects.unfinished().order_by("-pk")[:MAX_ACTIVE]
    return tuple(active_run(run, now) for run in runs)


def active_run(run: TaskRun, now: datetime) -> ActiveRun:
    """Return how far a run is."""
    rows, done = (number_in(run.progress, name) for name in ("rows", "done"))
    elapsed = seconds_since(run.started_at, now) if run.started_at else 0.0
    moving = run.state == State.RUNNING and elapsed >= 1
    return ActiveRun(
        run=run,
        since=run.started_at or run.created_at,
        rows=None if rows is None else int(rows),
        done=done,
        rate=rows / elapsed if moving and rows is not None else None,
        seconds_left=elapsed * (1 - done) / done
        if moving and done and done >= LEAST_DONE
        else None,
    )


def number_in(progress: object, name: str) -> float | None:
    """Return a number that a run's progress holds; None if it holds none of that name."""
    value = progress.get(name) if isinstance(progress, dict) else None
    return value if isinstance(value, int | float) else None


def withhold_errors(status: Status) -> None:
    """Replace the texts of errors in the rows of a status, which nobody saves."""
    last_runs = (schedule.last_run for schedule in status.schedules)
    for run in (*last_runs, *status.failures.latest, *status.unacknowledged.latest):
        if run:
            run.error = withhold(run.error, unless=False)
