"""The last runs of each schedule, drawn small: a bar each, as high as it took long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.engine import words
from tasks.engine.models import Schedule, State, TaskRun, TaskRunQuerySet

#: Runs that are drawn, those of the latest slots.
MOST_RUNS = 30

#: Of a bar, with the space after it, in units of the drawing.
STEP = 6
WIDTH = MOST_RUNS * STEP
HEIGHT = 24

#: No bar is lower: each run can be seen.
LEAST_HEIGHT = 2.0

#: How the states are counted, in this order.
COUNTED = (
    (State.SUCCEEDED, "succeeded"),
    (State.FAILED, "failed"),
    (State.CANCELLED, "cancelled"),
    (State.SKIPPED, "skipped"),
)


@dataclass(frozen=True, kw_only=True)
class SparkBar:
    """A run's bar, in the drawing's units; `kind` is its state, or `errors`."""

    x: int
    y: float
    height: float
    kind: str


@dataclass(frozen=True, kw_only=True)
class Sparkline:
    """The last runs of a schedule, the oldest first, and what they show in words."""

    bars: tuple[SparkBar, ...]
    summary: str
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class LastRun:
    """What is drawn of a run."""

    state: str
    has_errors: bool
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def seconds(self) -> float:
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


def sparklines(schedules: Sequence[Schedule]) -> Mapping[int, Sparkline]:
    """Return the sparkline of each schedule that has run, by primary key, with one query."""
    if not schedules:
        return {}
    columns = ("task", "schedule_name", "state", "has_errors", "started_at", "finished_at")
    first, *others = [
        latest_runs(schedule).values_list("scheduled_for", *columns) for schedule in schedules
    ]
    found: dict[tuple[str, str], list[LastRun]] = {}
    for _, task, name, *values in sorted(first.union(*others, all=True), key=lambda row: row[0]):
        found.setdefault((task, name), []).append(LastRun(*values))
    keys = {schedule.pk: (schedule.task, schedule.name) for schedule in schedules}
    return {pk: draw(found[key]) for pk, key in keys.items() if key in found}


def latest_runs(schedule: Schedule) -> TaskRunQuerySet:
    """Return the runs of a schedule's latest slots that have ended, by the index of slots."""
    ended = TaskRun.objects.of_schedule(schedule).of_slots().finished().order_by("-scheduled_for")
    # Not sliced itself: SQLite takes no limit within a union.
    return TaskRun.objects.filter(pk__in=ended.values("pk")[:MOST_RUNS]).order_by()


def draw(runs: Sequence[LastRun]) -> Sparkline:
    """Draw some runs, the oldest first."""
    longest = max(run.seconds for run in runs)
    empty = MOST_RUNS - len(runs)
    bars = []
    for number, run in enumerate(runs, start=empty):
        part = run.seconds / longest if longest else 0.0
        height = round(max(LEAST_HEIGHT, HEIGHT * part), 1)
        kind = "errors" if run.has_errors else run.state
        bars.append(SparkBar(x=number * STEP, y=HEIGHT - height, height=height, kind=kind))
    return Sparkline(bars=tuple(bars), summary=summary(runs, longest))


def summary(runs: Sequence[LastRun], longest: float) -> str:
    """Say how runs ended, and how long they took at the most."""
    counts = {word: sum(run.state == state for run in runs) for state, word in COUNTED}
    ended = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    took = f"; the longest took {words.duration(longest, tenths=True)}" if longest else ""
    slots = "slot" if len(runs) == 1 else f"{len(runs)} slots"
    return f"The last {slots}: {ended}{took}."
