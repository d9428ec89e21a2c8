"""What the console's first page shows, read such that whatever fails leaves the rest standing."""

from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError

from tasks.engine.console.charts import Chart, charts, nights
from tasks.engine.database import statement_timeout
from tasks.engine.models import State, TaskRun
from tasks.engine.monitoring.clock import seconds_since
from tasks.engine.monitoring.problems import problems
from tasks.engine.monitoring.status import WITHHELD, Status, gather
from tasks.engine.operations.runs import can_be_stopped
from tasks.engine.words import reason

#: How long (ms) PostgreSQL may take for one statement of a page.
STATEMENT_TIMEOUT_MS = 3_000

#: Unfinished runs that are shown one by one, the latest ones.
MOST_ACTIVE = 20

#: Below this part of its way, a run does not say how long it will take.
LEAST_DONE = 0.02


@dataclass(frozen=True, kw_only=True)
class ActiveRun:
    """An unfinished run.

    Attributes:
        since: when it was first taken up; when it was owed, if it has not been.
        worker: who is at it; empty if nobody is, or nobody knows.
        rows: how many rows it has dealt with; None if it does not say.
        done: how much of its way, from 0 to 1; None if it does not say.
        rate: rows a second; None if that cannot be told.
        seconds_left: an estimate; None if that cannot be told.
        can_be_stopped: it has been at work, and nobody has asked it to stop.
        stop_requested_at: when somebody did.
    """

    pk: int
    task: str
    state: str
    attempts: int
    since: datetime
    worker: str
    rows: int | None
    done: float | None
    rate: float | None
    seconds_left: float | None
    can_be_stopped: bool
    stop_requested_at: datetime | None

    @property
    def percent(self) -> int:
        """How much of its way, in whole per cent."""
        return int(100 * (self.done or 0))


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The page's content.

    Attributes:
        problems: what an operator must act on.
        unread: what could not be read, and why. Unless it is empty, nobody can say that all is
            well.
        status: None if it could not be read.
        more_active: unfinished runs beyond those in `active_runs`.
    """

    problems: tuple[str, ...]
    unread: tuple[str, ...]
    status: Status | None
    active_runs: tuple[ActiveRun, ...]
    more_active: int
    charts: tuple[Chart, ...]

    @property
    def verdict(self) -> str:
        """`problems`, `unknown` or `well`."""
        if self.problems:
            return "problems"
        return "unknown" if self.unread else "well"


def read_overview(*, with_errors: bool, with_charts: bool = True) -> Overview:
    """Look at everything.

    Args:
        with_errors: show the texts of errors; otherwise only that there are some.
        with_charts: draw the charts.
    """
    reading = Reading()
    unread = reading.attempt(with_charts=with_charts)
    status = reading.status
    if status and not with_errors:
        withhold_errors(status)
    active_runs = status.active_runs if status else ()
    total = sum(runs.pending + runs.queued + runs.running for runs in active_runs)
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
        self.charts: tuple[Chart, ...] = ()

    def attempt(self, *, with_charts: bool) -> list[str]:
        """Read all parts; return those that could not be read, and why."""
        parts = {
            "the status": self._read_status,
            "the runs in hand": self._read_active_runs,
        }
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
            self.charts = tuple(charts(nights(self.status.now)))


def active_runs(now: datetime) -> tuple[ActiveRun, ...]:
    """Return the latest unfinished runs."""
    runs = TaskRun.objects.unfinished().order_by("-pk")[:MOST_ACTIVE]
    return tuple(active_run(run, now) for run in runs)


def active_run(run: TaskRun, now: datetime) -> ActiveRun:
    """Return how far a run has come."""
    rows, done = (number(run.progress, name) for name in ("rows", "done"))
    elapsed = seconds_since(run.started_at, now) if run.started_at else 0.0
    moving = run.state == State.RUNNING and elapsed >= 1
    left = elapsed * (1 - done) / done if moving and done and done >= LEAST_DONE else None
    return ActiveRun(
        pk=run.pk,
        task=run.task,
        state=run.state,
        attempts=run.attempts,
        since=run.started_at or run.created_at,
        worker=run.worker if run.state == State.RUNNING else "",
        rows=None if rows is None else int(rows),
        done=done,
        rate=rows / elapsed if moving and rows is not None else None,
        seconds_left=left,
        can_be_stopped=can_be_stopped(run),
        stop_requested_at=run.stop_requested_at,
    )


def number(progress: object, name: str) -> float | None:
    """Return a number of a run's account; None if there is none of that name."""
    value = progress.get(name) if isinstance(progress, dict) else None
    return value if isinstance(value, int | float) else None


def withhold_errors(status: Status) -> None:
    """Replace the texts of errors in the rows of a status, which nobody saves."""
    last_runs = (schedule.last_run for schedule in status.schedules)
    for run in (*last_runs, *status.failures.latest, *status.unacknowledged.latest):
        if run and run.error:
            run.error = WITHHELD
