"""Measures what the charts show of the last days, with one query."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, Value
from django.db.models.functions import TruncDate
from django.utils import timezone
from dramatiq.broker import get_broker

from tasks.engine.console.charts import DailyChart, Day
from tasks.engine.extension import extension_of
from tasks.engine.models import State, TaskRun
from tasks.engine.operations.pruning import unrecorded_tasks


def charts() -> list[DailyChart]:
    """Return the charts of the tasks' extensions, and the engine's own after them."""
    of_tasks = [
        replace(chart, runs=chart.runs & Q(task=task))
        for task in get_broker().actors
        for chart in extension_of(task).charts
    ]
    failed = DailyChart(
        title="Failed runs",
        runs=Q(state=State.FAILED),
        value=Value(1),
        counted=("run failed", "runs failed"),
        nothing="No run failed",
    )
    delay = DailyChart(
        title="Delay from slot to start",
        runs=Q(scheduled_for__isnull=False, started_at__isnull=False)
        & ~Q(task__in=unrecorded_tasks()),
        value=F("started_at") - F("scheduled_for"),
        longest="the longest wait was",
        nothing="No slot was run, pings aside,",
    )
    return [*of_tasks, failed, delay]


def read_days(measured: Sequence[DailyChart], now: datetime, *, days: int = 30) -> list[Day]:
    """Return what the charts measure of each of the last days, that of `now` last."""
    zone = timezone.get_default_timezone()
    first = timezone.localdate(now, zone) - timedelta(days=days - 1)
    found = (
        TaskRun.objects.filter(finished_at__gte=datetime.combine(first, time.min, zone))
        .exclude(task__in=unrecorded_tasks(), state__in=[State.SUCCEEDED, State.SKIPPED])
        .annotate(day=TruncDate("finished_at", tzinfo=zone))
        .values("day")
        .annotate(**{f"chart_{n}": chart.aggregate() for n, chart in enumerate(measured)})
        .order_by("day")
    )
    by_day: dict[date, Mapping[str, Any]] = {row["day"]: row for row in found}
    dates = [first + timedelta(days=number) for number in range(days)]
    aliases = [f"chart_{n}" for n in range(len(measured))]
    return [
        Day(day=day, values=[as_number(by_day.get(day, {}).get(alias)) for alias in aliases])
        for day in dates
    ]


def as_number(value: timedelta | Decimal | float | None) -> float | None:
    """Return a duration in seconds, at least 0, as clocks differ; a number as a number."""
    if isinstance(value, timedelta):
        return max(0.0, value.total_seconds())
    return None if value is None else float(value)
