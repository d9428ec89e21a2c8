"""The charts of the console's first page: what each of the last days was like.

What a task's extension measures is read from the ledger, failures from the hours that were counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, Sum, Value
from django.db.models.functions import TruncDate
from django.utils import timezone
from dramatiq.broker import get_broker

from tasks.engine.console.charts import DailyChart, Day, Drawing
from tasks.engine.extension import extension_of
from tasks.engine.models import Measure, RunCount, State, TaskRun
from tasks.engine.operations.counting import GRACE, is_over, uncounted

DAYS = 30

FAILED = DailyChart(
    title="Failed runs",
    runs=Q(state=State.FAILED),
    value=Value(1),
    counted=("run failed", "runs failed"),
    nothing="No run failed",
)


#: What days were like that are over: it does not change, so each process asks for it once.
_past: dict[date, list[float | None]] = {}


def read_charts(now: datetime) -> tuple[Drawing, ...]:
    """Return the charts of the tasks' extensions, and the engine's own after them."""
    days = read_days(now)
    drawn = [chart.draw(days, number) for number, chart in enumerate(charts())]
    return (*drawn, FAILED.draw(read_failures(now), 0))


def charts() -> list[DailyChart]:
    """Return the charts of the tasks' extensions."""
    return [
        replace(chart, runs=chart.runs & Q(task=task))
        for task in get_broker().actors
        for chart in extension_of(task).charts
    ]


def read_days(now: datetime, *, days: int = DAYS) -> list[Day]:
    """Return what the charts measure of each of the last days, that of `now` last.

    With one query, for the days that this process has not asked for before, or that go on.
    """
    dates = last_days(now, days)
    open_since = timezone.localdate(now - GRACE, site_zone())
    read = measure([day for day in dates if day not in _past])
    for day in set(_past) - set(dates):
        _past.pop(day, None)
    _past.update({day: values for day, values in read.items() if day < open_since})
    return [Day(day=day, values=read.get(day) or _past[day]) for day in dates]


def forget_past() -> None:
    """Have the next look ask for all days anew."""
    _past.clear()


def measure(dates: Sequence[date]) -> dict[date, list[float | None]]:
    """Return what the charts measure of some days, of which the last is today."""
    wanted = charts()
    if not wanted or not dates:
        return {day: [] for day in dates}
    tasks = [task for task in get_broker().actors if extension_of(task).charts]
    found = (
        TaskRun.objects.filter(task__in=tasks, finished_at__gte=beginning(dates[0]))
        .annotate(day=TruncDate("finished_at", tzinfo=site_zone()))
        .values("day")
        .annotate(**{f"chart_{n}": chart.aggregate() for n, chart in enumerate(wanted)})
        .order_by("day")
    )
    by_day: dict[date, Mapping[str, Any]] = {row["day"]: row for row in found}
    aliases = [f"chart_{n}" for n in range(len(wanted))]
    return {day: [as_number(by_day.get(day, {}).get(alias)) for alias in aliases] for day in dates}


def read_failures(now: datetime, *, days: int = DAYS) -> list[Day]:
    """Return how many runs failed on each of the last days, with one query, however many did."""
    dates = last_days(now, days)
    since = beginning(dates[0])
    counted = RunCount.objects.filter(
        is_over(), state=State.FAILED, measure=Measure.DURATION, hour__gte=since
    )
    recent = TaskRun.objects.filter(uncounted(), state=State.FAILED, finished_at__gte=since)
    parts = [
        rows.order_by()
        .annotate(day=TruncDate(moment, tzinfo=site_zone()))
        .values("day")
        .annotate(number=number)
        .values_list("day", "number")
        for rows, moment, number in (
            (counted, "hour", Sum("amount")),
            (recent, "finished_at", Count("pk")),
        )
    ]
    failed: Counter[date] = Counter()
    for day, number in parts[0].union(parts[1], all=True):
        failed[day] += number
    return [Day(day=day, values=[failed[day] or None]) for day in dates]


def last_days(now: datetime, days: int) -> list[date]:
    """Return the last days by the site's clock, that of `now` last."""
    first = timezone.localdate(now, site_zone()) - timedelta(days=days - 1)
    return [first + timedelta(days=number) for number in range(days)]


def beginning(day: date) -> datetime:
    return datetime.combine(day, time.min, site_zone())


def site_zone() -> tzinfo:
    return timezone.get_default_timezone()


def as_number(value: timedelta | Decimal | float | None) -> float | None:
    """Return a duration in seconds, at least 0, as clocks differ; a number as a number."""
    if isinstance(value, timedelta):
        return max(0.0, value.total_seconds())
    return None if value is None else float(value)
