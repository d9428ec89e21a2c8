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

from tasks.models import State, TaskRun
from tasks.names import TaskName

#: The drawing, in units of its own: bars stand between the numbers on the left and the days below.
WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 70, 10, 15, 25

#: Axes end at one of these, times a power of ten.
ROUND = (1, 2, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Night:
    """A day by the site's clock.

    Attributes:
        swept: todos that its cleanups took.
        cleanup_seconds: how long the longest of them took; None if there was none.
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
    """A day's bar, in the drawing's units; and what it stands for, in words."""

    day: date
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


def nights(now: datetime, *, days: int = 30) -> list[Night]:
    """Count what happened on each of the last days, with one query.

    Args:
        now: the last of them.
        days: how many.

    Returns:
        All of them, the oldest first.
    """
    today = timezone.localdate(now)
    first = today - timedelta(days=days - 1)
    since = datetime.combine(first, time.min, timezone.get_default_timezone())
    ended = Q(state=State.SUCCEEDED, task=TaskName.TODO_CLEANUP)
    late = Q(scheduled_for__isnull=False, started_at__isnull=False) & ~Q(task=TaskName.PING)
    # What is no whole number, a result of another version for instance, counts as none.
    deleted = Case(
        When(
            result__todos_deleted__regex=r"^[0-9]{1,15}$",
            then=Cast(KT("result__todos_deleted"), models.BigIntegerField()),
        )
    )
    found = (
        TaskRun.objects.filter(finished_at__gte=since)
        .exclude(task=TaskName.PING, state__in=[State.SUCCEEDED, State.SKIPPED])
        .annotate(day=TruncDate("finished_at"))
        .values("day")
        .annotate(
            swept=Sum(deleted, filter=ended),
            took=Max(
                F("finished_at") - F("started_at"), filter=ended, output_field=DurationField()
            ),
            failed=Count("pk", filter=Q(state=State.FAILED)),
            delay=Max(
                F("started_at") - F("scheduled_for"), filter=late, output_field=DurationField()
            ),
        )
        .order_by("day")
    )
    by_day = {row["day"]: night(row) for row in found}
    return [
        by_day.get(day) or Night(day=day)
        for day in (first + timedelta(days=number) for number in range(days))
    ]


def longest(span: CombinedExpression, *, of: Q) -> Max:
    """Return the longest of a span of time."""
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
            nothing="No cleanup ended",
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
    summary = f"{span(found)}: {total:,} todos swept, most on {short(most.day)} ({most.swept:,})."
    return chart(
        found,
        *("swept", "Todos swept", summary if total else f"{span(found)}: no todo was swept."),
        value=lambda night: night.swept,
        words="{:,.0f}".format,
    )


def failed_chart(found: Sequence[Night]) -> Chart:
    """Draw how many runs failed."""
    total, most = sum(night.failed for night in found), max(found, key=lambda night: night.failed)
    summary = f"{span(found)}: {total:,} failed, most on {short(most.day)} ({most.failed:,})."
    return chart(
        found,
        *("failed", "Failed runs", summary if total else f"{span(found)}: no run failed."),
        value=lambda night: night.failed,
        words="{:,.0f}".format,
    )


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
    longest = max(days, key=lambda night: value(night) or 0, default=None)
    summary = f"{nothing} {span(found)[0].lower()}{span(found)[1:]}."
    if longest:
        took = spoken(value(longest) or 0)
        summary = f"{span(found)}: {verb} {took}, on {short(longest.day)}."
    return chart(found, name, title, summary, value=value, words=spoken)


def chart(
    found: Sequence[Night],
    name: str,
    title: str,
    summary: str,
    *,
    value: Callable[[Night], float | None],
    words: Callable[[float], str],
) -> Chart:
    """Draw one value a day.

    Args:
        found: the days.
        name: what its parts are called by, in the page.
        title: for people.
        summary: what it shows, in a sentence.
        value: a day's; None where there is none.
        words: says a value.
    """
    top = axis_end(max((value(night) or 0 for night in found), default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(found))
    bars = []
    for number, night in enumerate(found):
        amount = value(night)
        height = (amount or 0) / top * (HEIGHT - TOP - BOTTOM) if top else 0.0
        said = "none" if amount is None else words(amount)
        bars.append(
            Bar(
                day=night.day,
                label=said,
                x=round(LEFT + number * step + 0.1 * step, 2),
                y=round(HEIGHT - BOTTOM - height, 2),
                width=round(0.8 * step, 2),
                height=round(height, 2),
            )
        )
    return Chart(
        name=name,
        title=title,
        summary=summary,
        top=words(top),
        bars=tuple(bars) if top else (),
    )


def axis_end(largest: float) -> float:
    """Return a round number that is not less than the largest value; 0 for 0."""
    if largest <= 0:
        return 0
    power = 10.0 ** floor(log10(largest))
    return float(next((r * power for r in ROUND if r * power >= largest), ceil(largest)))


def span(found: Sequence[Night]) -> str:
    """Say from when to when."""
    return f"Between {short(found[0].day)} and {short(found[-1].day)}"


def short(day: date) -> str:
    """Return a day such as `Nov 3`."""
    return f"{day:%b} {day.day}"


def spoken(amount: float) -> str:
    """Return so many seconds, for a person to read."""
    if amount >= 2 * 60 * 60:
        return f"{amount / 3600:,.1f} h"
    if amount >= 2 * 60:
        return f"{amount / 60:.1f} min"
    return f"{amount:.0f} s" if amount == 0 or amount >= 1 else f"{1000 * amount:.0f} ms"
