"""Adds up the ledger, and what pruning has taken from it, with one query.

One statement sees one moment: a run that is pruned meanwhile counts once, in the ledger or in the
totals. So the sums only ever grow.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from django.db.models import (
    Case,
    CharField,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Q,
    Sum,
    Value,
    When,
)
from django.db.models.expressions import Combinable
from dramatiq.broker import get_broker

from tasks.engine.console.charts import json_number
from tasks.engine.extension import ExportedCount, extension_of
from tasks.engine.models import RunTotal, Tally, TaskRun, TaskRunQuerySet

#: Upper bounds (seconds) of the buckets of a histogram. They may be changed: what was pruned under
#: others counts in the next larger one.
BOUNDS = ("0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "60.0")
LONG_BOUNDS = ("300.0", "900.0", "3600.0")
BUCKETS = (*BOUNDS, *LONG_BOUNDS, "+Inf")

NOTHING = Value(timedelta(), output_field=DurationField())


def exported_counts() -> Iterator[tuple[str, ExportedCount]]:
    """Yield what the extensions of the actors' tasks export, each with its task."""
    for task in sorted(get_broker().actors):
        for exported in extension_of(task).exported:
            yield task, exported


def all_tallies() -> list[Tally]:
    """Return the tallies of all runs that have ended, those that were pruned included."""
    totals = RunTotal.objects.order_by().values_list(*Tally._fields)
    return merged(_read(totals.union(*_queries(TaskRun.objects.all()), all=True)))


def tallies_of(runs: TaskRunQuerySet) -> list[Tally]:
    """Return the tallies of some runs that have ended."""
    first, *others = _queries(runs)
    return merged(_read(first.union(*others, all=True)))


def merged(tallies: Iterable[Tally]) -> list[Tally]:
    """Add up the tallies of the same."""
    found: dict[tuple[str, ...], Tally] = {}
    for tally in tallies:
        known = found.get(tally.key)
        found[tally.key] = known.plus(tally) if known else tally
    return list(found.values())


def _read(rows: Iterable[tuple[Any, ...]]) -> Iterator[Tally]:
    for row in rows:
        tally = Tally(*row)
        # Nothing adds up to NULL.
        yield tally._replace(
            amount=int(tally.amount or 0),
            duration=tally.duration or timedelta(),
            delay=tally.delay or timedelta(),
        )


def _queries(runs: TaskRunQuerySet) -> list[Any]:
    """Return one query for the runs themselves, and one for each count that is exported."""
    ended = runs.filter(finished_at__isnull=False).order_by()
    return [_of_runs(ended), *(_of_count(ended, task, count) for task, count in exported_counts())]


def _of_runs(ended: TaskRunQuerySet) -> Any:
    timed = ended.annotate(
        took=_difference("started_at", "finished_at"),
        waited=_difference("scheduled_for", "started_at"),
    )
    grouped = timed.values("task", "state").annotate(
        counted=Value("", output_field=CharField()),
        duration_le=_bucket("took"),
        delay_le=_bucket("waited"),
        amount=Count("pk"),
        duration=_sum("took"),
        delay=_sum("waited"),
    )
    return grouped.values_list(*Tally._fields)


def _of_count(ended: TaskRunQuerySet, task: str, exported: ExportedCount) -> Any:
    number: Combinable = json_number(f"result__{exported.key}")
    if exported.or_rows:
        number = Case(When(result__isnull=True, then=json_number("progress__rows")), default=number)
    empty = Value("", output_field=CharField())
    grouped = (
        ended.filter(task=task)
        .values("task", "state")
        .annotate(
            counted=Value(exported.metric, output_field=CharField()),
            duration_le=empty,
            delay_le=empty,
            amount=Sum(number),
            duration=NOTHING,
            delay=NOTHING,
        )
    )
    return grouped.values_list(*Tally._fields)


def _difference(start: str, end: str) -> Combinable:
    """Return how long something took; NULL if one of the moments has not come."""
    return ExpressionWrapper(F(end) - F(start), output_field=DurationField())


def _sum(duration: str) -> Sum:
    """Add up durations; those below zero count as zero, as clocks differ."""
    known = Q((f"{duration}__gte", timedelta()))
    return Sum(duration, filter=known, output_field=DurationField())


def _bucket(duration: str) -> Case:
    """Return the upper bound of the first bucket that a duration fits into; empty without one."""
    bounds = [
        When(Q((f"{duration}__lte", timedelta(seconds=float(bound)))), then=Value(bound))
        for bound in BUCKETS[:-1]
    ]
    none = When(Q((f"{duration}__isnull", True)), then=Value(""))
    return Case(none, *bounds, default=Value(BUCKETS[-1]), output_field=CharField())
