"""The last nights as charts: counted by the database, drawn without a script."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import ceil, floor, log10
from typing import Any

from django.db import models
from django.db.models import Case, Count, DurationField, F, Max, Q, Sum, When
from django.db.models.expressions import CombinedExpression
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, TruncDate
from django.utils import timezone

from tasks.engine.models import State, TaskRun
from tasks.names import TaskName

#: The drawing, in units of its own: bars stand between the axis's end above and the days below.
WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 24, 10, 30, 30

#: Axes end at one of these, times a power of ten.
ROUND = (1, 2, 5, 10)

MINUTE, HOUR = 60, 60 * 60

#: Axes of seconds end at one of these, or at a round number of hours.
ROUND_SECONDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, MINUTE),
    *(2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, HOUR),
)


#: What a count must look like, in JSON, to be added up.
WHOLE_NUMBER = r"^[0-9]{1,15}$"


@dataclass(frozen=True, kw_only=True)
class Night:
    """A day by the site's clock.

    Attributes:
        swept: todos that its cleanups took, until they ended or were stopped.
        cleanup_seconds: how long the longest that was not stopped took; None if there was none.
        failed: runs that failed, of any task.
        delay_seconds: the longest that a run started after its slot, pings aside; None if none did.
    """

    day: date
    swept: int = 0
    cleanup_seconds: float | None = None
    failed: int = 0
    delay_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A day's bar, in the drawing's units.

    Attributes:
        amount: what it stands for: `90,000`.
        label: the same, with its day and unit: `Nov 3: 90,000 todos`.
    """

    day: date
    amount: str
    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart, ready to be drawn.

    Attributes:
        name: what its parts are called by, in the page.
        summary: what it shows, in a sentence.
        top: what the end of its axis stands for, in words.
        bars: one a day, the oldest first; none if there is nothing to draw.
    """

    name: str
    title: str
    summary: str
    top: str
    bars: tuple[Bar, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    ceiling: int = TOP
    floor: int = HEIGHT - BOTTOM

    @property
    def first(self) -> str:
        """The first day that is drawn; empty if none is."""
        return short(self.bars[0].day) if self.bars else ""

    @property
    def last(self) -> str:
        """The last day that is drawn; empty if none is."""
        return short(self.bars[-1].day) if self.bars else ""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a chart shows of each day.

    Attributes:
        value: a day's; None where there is none.
        end: returns a round number for the end of the axis, not less than the largest value.
        words: says a value.
        thing: what is counted; empty where `words` says it.
    """

    value: Callable[[Night], float | None]
    end: Callable[[float], float]
    words: Callable[[float], str]
    thing: str = ""

    def amount(self, night: Night) -> str:
        """Say a day's value."""
        value = self.value(night)
        return "none" if value is None else self.words(value)

    def label(self, night: Night) -> str:
        """Say a day's value, with the day and what it counts."""
        value = self.value(night)
        if value is None or not self.thing:
            return f"{short(night.day)}: {self.amount(night)}"
        return f"{short(night.day)}: {counted(value, self.thing)}"


def nights(now: datetime, *, days: int = 30) -> list[Night]:
    """Count what happened on each of the last days, with one query.

    Args:
        now: in the last of them.
        days: how many.

    Returns:
        All of them, the oldest first.
    """
    zone = timezone.get_default_timezone()
    first = timezone.localdate(now, zone) - timedelta(days=days - 1)
    since = datetime.combine(first, time.min, zone)
    cleanup = Q(task=TaskName.TODO_CLEANUP)
    ended = cleanup & Q(state=State.SUCCEEDED)
    swept = cleanup & Q(state__in=[State.SUCCEEDED, State.CANCELLED])
    late = Q(scheduled_for__isnull=False, started_at__isnull=False) & ~Q(task=TaskName.PING)
    # What is no whole number, a result of another version for instance, counts as none.
    deleted = Case(
        When(
            state=State.SUCCEEDED,
            result__todos_deleted__regex=WHOLE_NUMBER,
            then=Cast(KT("result__todos_deleted"), models.BigIntegerField()),
        ),
        # Of one that was stopped there is no result, but the account of what it did until then.
        When(
            state=State.CANCELLED,
            progress__rows__regex=WHOLE_NUMBER,
            then=Cast(KT("progress__rows"), models.BigIntegerField()),
        ),
    )
    found = (
        TaskRun.objects.filter(finished_at__gte=since)
        .exclude(task=TaskName.PING, state__in=[State.SUCCEEDED, State.SKIPPED])
        .annotate(day=TruncDate("finished_at", tzinfo=zone))
        .values("day")
        .annotate(
            swept=Sum(deleted, filter=swept),
            took=longest(F("finished_at") - F("started_at"), of=ended),
            failed=Count("pk", filter=Q(state=State.FAILED)),
            delay=longest(F("started_at") - F("scheduled_for"), of=late),
        )
        .order_by("day")
    )
    by_day = {row["day"]: night(row) for row in found}
    return [
        by_day.get(day) or Night(day=day)
        for day in (first + timedelta(days=number) for number in range(days))
    ]


def longest(span: CombinedExpression, *, of: Q) -> Max:
    """Return the longest span of some runs."""
    return Max(span, filter=of, output_field=DurationField())


def night(row: Mapping[str, Any]) -> Night:
    """Return a day as the database counted it."""
    return Night(
        day=row["day"],
        swept=row["swept"] or 0,
        cleanup_seconds=seconds(row["took"]),
        failed=row["failed"],
        delay_seconds=seconds(row["delay"]),
    )


def seconds(span: timedelta | None) -> float | None:
    """Return a span in seconds; not less than 0, as not everything goes by the same clock."""
    return None if span is None else max(0.0, span.total_seconds())


def charts(found: Sequence[Night]) -> list[Chart]:
    """Draw what `nights` has found."""
    return [
        swept_chart(found),
        seconds_chart(
            found,
            *("duration", "Duration of the cleanup", "the longest cleanup took"),
            value=lambda night: night.cleanup_seconds,
            nothing="No cleanup",
        ),
        failed_chart(found),
        seconds_chart(
            found,
            *("delay", "Delay from slot to start", "the longest wait was"),
            value=lambda night: night.delay_seconds,
            nothing="No slot was run",
        ),
    ]


def swept_chart(found: Sequence[Night]) -> Chart:
    """Draw how many todos were swept."""
    total, most = sum(night.swept for night in found), max(found, key=lambda night: night.swept)
    if total:
        todos = counted(total, "todo")
        summary = f"{span(found)}: {todos} swept, most on {short(most.day)} ({most.swept:,})."
    else:
        idle = all(night.cleanup_seconds is None for night in found)
        nothing = "No cleanup" if idle else "No todo was swept"
        summary = f"{nothing} in these {len(found)} days."
    measure = count_of("todo", lambda night: night.swept)
    return chart(found, measure, name="swept", title="Todos swept", summary=summary)


def failed_chart(found: Sequence[Night]) -> Chart:
    """Draw how many runs failed."""
    total, most = sum(night.failed for night in found), max(found, key=lambda night: night.failed)
    summary = f"No run failed in these {len(found)} days."
    if total:
        runs = counted(total, "run")
        summary = f"{span(found)}: {runs} failed, most on {short(most.day)} ({most.failed:,})."
    measure = count_of("failed run", lambda night: night.failed)
    return chart(found, measure, name="failed", title="Failed runs", summary=summary)


def seconds_chart(
    found: Sequence[Night],
    name: str,
    title: str,
    verb: str,
    *,
    value: Callable[[Night], float | None],
    nothing: str,
) -> Chart:
    """Draw something that took time, on those days on which it happened."""
    days = [night for night in found if value(night) is not None]
    slowest = max(days, key=lambda night: value(night) or 0, default=None)
    summary = f"{nothing} in these {len(found)} days."
    if slowest:
        took = spoken(value(slowest) or 0)
        summary = f"{span(found)}: {verb} {took}, on {short(slowest.day)}."
    measure = Measure(value=value, end=seconds_axis_end, words=spoken)
    return chart(found, measure, name=name, title=title, summary=summary)


def chart(
    found: Sequence[Night], measure: Measure, *, name: str, title: str, summary: str
) -> Chart:
    """Draw one value a day.

    Args:
        found: the days.
        measure: what to draw of them.
        name: what its parts are called by, in the page.
        title: for people.
        summary: what it shows, in a sentence.
    """
    values = [measure.value(night) or 0 for night in found]
    top = measure.end(max(values))
    step = (WIDTH - LEFT - RIGHT) / len(found)
    bars = []
    for number, night in enumerate(found if top else ()):
        height = values[number] / top * (HEIGHT - TOP - BOTTOM)
        bars.append(
            Bar(
                day=night.day,
                amount=measure.amount(night),
                label=measure.label(night),
                x=round(LEFT + number * step + 0.1 * step, 2),
                y=round(HEIGHT - BOTTOM - height, 2),
                width=round(0.8 * step, 2),
                height=round(height, 2),
            )
        )
    return Chart(name=name, title=title, summary=summary, top=measure.words(top), bars=tuple(bars))


def count_of(thing: str, value: Callable[[Night], int]) -> Measure:
    """Return how to draw what is counted."""
    return Measure(value=value, end=axis_end, words="{:,.0f}".format, thing=thing)


def axis_end(largest: float) -> float:
    """Return a round number that is not less than the largest value; 0 for 0."""
    if largest <= 0:
        return 0
    power = 10.0 ** floor(log10(largest))
    return float(next((r * power for r in ROUND if r * power >= largest), ceil(largest)))


def seconds_axis_end(longest: float) -> float:
    """Return so many seconds as are a round number of their unit; 0 for 0."""
    if longest <= 0:
        return 0
    if longest > HOUR:
        return HOUR * axis_end(longest / HOUR)
    return next(end for end in ROUND_SECONDS if end >= longest)


def span(found: Sequence[Night]) -> str:
    """Say from when to when."""
    return f"Between {short(found[0].day)} and {short(found[-1].day)}"


def short(day: date) -> str:
    """Return a day such as `Nov 3`."""
    return f"{day:%b} {day.day}"


def counted(number: float, thing: str) -> str:
    """Return so many things, for a person to read."""
    return f"{number:,.0f} {thing}" if number == 1 else f"{number:,.0f} {thing}s"


def spoken(amount: float) -> str:
    """Return so many seconds, for a person to read."""
    if 0 < amount < 1:
        return f"{1000 * amount:.0f} ms"
    for size, unit in ((HOUR, "h"), (MINUTE, "min")):
        if amount >= 2 * size:
            return f"{tenths(amount / size)} {unit}"
    return f"{tenths(amount)} s"


def tenths(amount: float) -> str:
    """Return a number with one decimal, unless that is 0."""
    return f"{amount:,.1f}".removesuffix(".0")
