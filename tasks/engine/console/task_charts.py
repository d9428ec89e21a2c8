"""The charts of one task: its runs and failures, how long they took, and how late they started."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, tzinfo

from django.utils import timezone

from tasks.engine import words
from tasks.engine.console.charts import Bar, Drawing
from tasks.engine.console.drawing import axis_end, boxes, seconds_axis_end
from tasks.engine.models import Measure, RunCount, State, TaskRun
from tasks.engine.operations.counting import FACTOR, counted, counted_until

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

MEDIAN, P95 = 0.5, 0.95


@dataclass(frozen=True, kw_only=True)
class Period:
    """A time to look back over.

    Attributes:
        key: in the address.
        unit: what a bar is of.
        format: how a bar's beginning is written.
    """

    key: str
    title: str
    unit: str
    format: str

    def starts(self, now: datetime, zone: tzinfo) -> list[datetime]:
        """Return when each bar begins, by the clocks of a zone, the oldest first."""
        if self.key == "24h":
            this_hour = now.replace(minute=0, second=0, microsecond=0)
            return [this_hour - number * HOUR for number in reversed(range(24))]
        today = timezone.localdate(now, zone)
        days, hours = {"7d": (7, (0, 6, 12, 18)), "30d": (30, (0,))}[self.key]
        moments = [
            datetime.combine(today - number * DAY, time(hour), zone)
            for number in reversed(range(days))
            for hour in hours
        ]
        return [moment for moment in moments if moment <= now]


PERIODS = (
    Period(key="24h", title="24 hours", unit="Hour", format="%H:%M"),
    Period(key="7d", title="7 days", unit="Six hours from", format="%Y-%m-%d %H:%M"),
    Period(key="30d", title="30 days", unit="Day", format="%Y-%m-%d"),
)


@dataclass
class Bin:
    """What a bar is made of: numbers of runs by state, and by length (ms) of each measure."""

    states: Counter[str] = field(default_factory=Counter)
    lengths: Mapping[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, state: str, measure: str, length_ms: int, amount: int) -> None:
        if measure == Measure.DURATION:
            self.states[state] += amount
        if length_ms and state in {State.SUCCEEDED, State.FAILED}:
            self.lengths[measure][length_ms] += amount

    @property
    def runs(self) -> int:
        """How many runs ended, those apart that were never to run."""
        return self.states.total() - self.states[State.SKIPPED]


def task_charts(task: str, period: Period, now: datetime) -> tuple[Drawing, ...]:
    """Return the charts of a task, with three queries: counted hours, and the runs since."""
    zone = timezone.get_current_timezone()
    starts = period.starts(now, zone)
    bins = read_bins(task, starts)
    named = [
        (start.astimezone(zone).strftime(period.format), one)
        for start, one in zip(starts, bins, strict=True)
    ]
    return (
        draw_runs(named, period),
        draw_lengths(named, period, Measure.DURATION, "Duration", "took"),
        draw_lengths(named, period, Measure.DELAY, "Delay from slot to start", "started after"),
    )


def read_bins(task: str, starts: Sequence[datetime]) -> list[Bin]:
    """Return what a task's runs add up to between some moments, the last of which is open."""
    until = counted_until()
    bins = [Bin() for _ in starts]
    for row in rows_of(task, starts[0], until):
        # Where a zone is off by half an hour, the first bar begins within one of these hours.
        number = max(0, bisect_right(starts, row[0]) - 1)
        bins[number].add(*row[1:])
    return bins


def rows_of(
    task: str, since: datetime, until: datetime | None
) -> Iterable[tuple[datetime, str, str, int, int]]:
    """Yield hour, state, measure, length (ms) and number, of counted hours and of those since."""
    columns = ("hour", "state", "measure", "length_ms", "amount")
    if until:
        hours = RunCount.objects.filter(task=task, hour__gte=since, hour__lt=until)
        yield from hours.values_list(*columns)
    recent = TaskRun.objects.filter(task=task, finished_at__gte=max(since, until or since))
    for row in counted(recent):
        yield row["hour"], row["state"], row["measure"], row["length_ms"], row["amount"]


def draw_runs(named: Sequence[tuple[str, Bin]], period: Period) -> Drawing:
    """Draw how many runs ended, and before that how many of them failed."""
    runs = [float(one.runs) for _, one in named]
    failed = [float(one.states[State.FAILED]) for _, one in named]
    skipped = sum(one.states[State.SKIPPED] for _, one in named)
    end = axis_end(max(runs))
    more = f" {words.count(skipped, 'slot was', 'slots were')} skipped." if skipped else ""
    return Drawing(
        title="Runs and failures",
        summary=f"{words.count(int(sum(runs)), 'run')} in {period.title},"
        f" {sum(failed):,.0f} failed.{more} Red: failed.",
        unit=period.unit,
        columns=("Runs", "Failed"),
        kind="failures",
        end=f"{end:,.0f}",
        first=named[0][0],
        last=named[-1][0],
        bars=pairs_of_bars([name for name, _ in named], (runs, failed), number, end=end),
    )


def draw_lengths(
    named: Sequence[tuple[str, Bin]], period: Period, measure: Measure, title: str, verb: str
) -> Drawing:
    """Draw a measure's 95th percentile, and the median before it, in seconds."""
    lengths = [one.lengths[measure] for _, one in named]
    high, middle = ([quantile(one, part) for one in lengths] for part in (P95, MEDIAN))
    end = seconds_axis_end(max(value or 0 for value in high))
    whole: Counter[int] = sum(lengths, Counter())
    median, p95 = in_words(quantile(whole, MEDIAN)), in_words(quantile(whole, P95))
    return Drawing(
        title=title,
        summary=f"In {period.title}, half of the runs {verb} at most {median} (dark), and 95 of 100"
        f" at most {p95} (light)."
        if whole
        else f"Nothing was measured in {period.title}.",
        unit=period.unit,
        columns=("p95", "Median"),
        kind="lengths",
        end=in_words(end),
        first=named[0][0],
        last=named[-1][0],
        bars=pairs_of_bars([name for name, _ in named], (high, middle), in_words, end=end),
    )


def pairs_of_bars(
    names: Sequence[str],
    values: tuple[Sequence[float | None], Sequence[float | None]],
    write: Callable[[float | None], str],
    *,
    end: float,
) -> tuple[Bar, ...]:
    """Return two bars for each name, the second value before the first; none if the axis is 0."""
    if not end:
        return ()
    behind, front = (boxes([value or 0 for value in each], end=end) for each in values)
    amounts = [(write(a), write(b)) for a, b in zip(*values, strict=True)]
    return tuple(
        Bar(name, pair, f"{name}: {pair[0]}, {pair[1]}", one, two)
        for name, pair, one, two in zip(names, amounts, behind, front, strict=True)
    )


def quantile(lengths: Counter[int], part: float) -> float | None:
    """Return the length (s) that a part of some runs did not exceed, to a tenth or so.

    Args:
        lengths: numbers of runs, by RunCount's `length_ms`.
        part: from 0 to 1.

    Returns:
        None if there are no runs.
    """
    rank, passed = part * lengths.total(), 0
    for length_ms, amount in sorted(lengths.items()):
        if passed + amount >= rank:
            least = length_ms / FACTOR
            return (least + (rank - passed) / amount * (length_ms - least)) / 1000
        passed += amount
    return None


def number(value: float | None) -> str:
    return f"{value or 0:,.0f}"


def in_words(seconds: float | None) -> str:
    return "none" if seconds is None else words.duration(seconds, tenths=True)
