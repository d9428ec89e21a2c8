"""Counts the runs of each hour once it is over, for the charts: a year costs no more than a day."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    Max,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Now, TruncHour

from tasks.engine.database import database_now, exclusive_transaction
from tasks.engine.models import Measure, RunCount, TaskRun, TaskRunQuerySet

HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: An hour is over when no transaction that ended a run in it can be open any more.
GRACE = timedelta(minutes=5)

#: Hours that are counted at once.
MOST_HOURS = 24

#: How long counts are kept: a year, and some more to compare.
KEEP_DAYS = 400

#: Lengths (ms) that runs are sorted by: each is a quarter longer than the one before, so a length
#: in between is known to a tenth or so. From a millisecond to 23 days.
FACTOR = 1.25
LENGTHS_MS = tuple(sorted({round(FACTOR**power) for power in range(97)}))
LONGEST_MS = 2**31 - 1


def count_next_hours() -> bool:
    """Count the runs of the next hours that are over; say whether there may be more to count."""
    with exclusive_transaction("count runs"):
        until = hour_of(database_now() - GRACE)
        since = next_hour()
        if since is None or since >= until:
            return False
        end = min(until, since + MOST_HOURS * HOUR)
        runs = TaskRun.objects.filter(finished_at__gte=since, finished_at__lt=end)
        rows = (RunCount(**row) for row in counted(runs))
        # There may be some of a clock that was ahead, by which these hours were over.
        RunCount.objects.filter(hour__gte=since, hour__lt=end).delete()
        RunCount.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1_000)
    return end < until


def counted_until() -> datetime | None:
    """Return the end of the last hour that is counted; None if none is."""
    last: datetime | None = RunCount.objects.filter(is_over()).aggregate(last=Max("hour"))["last"]
    return last + HOUR if last else None


def is_over() -> Q:
    """Return the condition that a count's hour is over, by the database's clock as it is now."""
    return Q(hour__lte=Now() - (HOUR + GRACE))


def uncounted() -> Q:
    """Return the condition that a run ended in an hour that is not counted."""
    last = RunCount.objects.filter(is_over()).order_by("-hour").values("hour")[:1]
    until = ExpressionWrapper(Subquery(last) + Value(HOUR), output_field=DateTimeField())
    return Q(finished_at__gte=Coalesce(until, Value(EPOCH)))


def next_hour() -> datetime | None:
    """Return the first hour that has runs which are not counted; None if there is none."""
    until = counted_until()
    ended = TaskRun.objects.filter(finished_at__isnull=False).order_by("finished_at")
    if until:
        ended = ended.filter(finished_at__gte=until)
    first = ended.values_list("finished_at", flat=True).first()
    return hour_of(first) if first else None


def counted(runs: TaskRunQuerySet) -> Iterator[dict[str, Any]]:
    """Yield what some runs that have ended add up to, as the values of `RunCount`s."""
    timed = runs.order_by().annotate(
        hour=TruncHour("finished_at", tzinfo=UTC),
        took=ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField()),
        waited=ExpressionWrapper(
            F("started_at") - F("scheduled_for"), output_field=DurationField()
        ),
    )
    for measure, source, column in (
        (Measure.DURATION, timed, "took"),
        (Measure.DELAY, timed.filter(waited__isnull=False), "waited"),
    ):
        grouped = source.values("task", "hour", "state").annotate(
            length_ms=length_of(column), amount=Count("pk")
        )
        for row in grouped:
            yield {**row, "measure": measure}


def length_of(column: str) -> Case:
    """Return the first of LENGTHS_MS that a duration does not exceed; 0 for none."""
    lengths = [
        When(Q((f"{column}__lte", timedelta(milliseconds=length))), then=Value(length))
        for length in LENGTHS_MS
    ]
    none = When(Q((f"{column}__isnull", True)), then=Value(0))
    return Case(none, *lengths, default=Value(LONGEST_MS), output_field=IntegerField())


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of a moment's hour."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def forget_old_counts() -> None:
    """Delete the counts that no chart shows any more."""
    RunCount.objects.filter(hour__lt=database_now() - timedelta(days=KEEP_DAYS)).delete()
