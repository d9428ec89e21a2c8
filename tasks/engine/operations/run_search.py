"""Finds runs among very many, and gives up in time: it says how far it has looked.

It goes through ranges of numbers, each twice as long as the one before, from the newest run or the
oldest. So a page that is soon full costs little, whatever index the database chooses; a filter
that no index serves costs as much as is given to it, and the reader may go on from there.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from django.db import OperationalError
from django.db.models import Max, Min

from tasks.engine.database import is_locked, statement_timeout
from tasks.engine.models import TaskRun, TaskRunQuerySet
from tasks.engine.operations.run_filter import RunFilter

#: Numbers in the first range.
FIRST_RANGE = 20_000

#: More matching runs than this are not counted.
MOST_COUNTED = 10_000

#: How long (ms) PostgreSQL may take for one range, whatever is wrong with it.
STATEMENT_TIMEOUT_MS = 3_000

#: By how much the order of runs' numbers and that of their creation may differ: no transaction that
#: creates a run is open for longer.
DISORDER = timedelta(hours=1)


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        ids: the runs' numbers, in the order of the search.
        looked_at: the last number that was looked at, if it gave up; otherwise None.
    """

    ids: tuple[int, ...]
    looked_at: int | None = None


def bounds(wanted: RunFilter) -> tuple[int, int]:
    """Return the first and the last number that a matching run can have, with up to three queries.

    If there is none, the first is greater than the last.
    """
    found = TaskRun.objects.aggregate(low=Min("pk"), high=Max("pk"))
    low, high = found["low"] or 1, found["high"] or 0
    by_creation = TaskRun.objects.order_by("created_at").values_list("pk", flat=True)
    with suppress(OverflowError):
        if wanted.since:
            before = by_creation.filter(created_at__lt=wanted.since - DISORDER)
            low = max(low, before.last() or low)
        if wanted.until:
            after = by_creation.filter(created_at__gte=wanted.until + DISORDER)
            high = min(high, after.first() or high)
    return low, high


def search(
    runs: TaskRunQuerySet,
    *,
    low: int,
    high: int,
    most: int,
    seconds: float,
    oldest_first: bool = False,
) -> Found:
    """Return the first `most` runs with numbers from `low` to `high`, the newest first.

    Args:
        runs: those that match.
        seconds: how long it may take, more or less.
    """
    started = monotonic()
    ids: list[int] = []
    looked_at = low - 1 if oldest_first else high + 1
    order, end = ("pk", high) if oldest_first else ("-pk", low)
    try:
        with statement_timeout(STATEMENT_TIMEOUT_MS):
            for first, last in ranges(low, high, oldest_first=oldest_first):
                here = runs.filter(pk__range=(first, last)).order_by(order)
                ids += here.values_list("pk", flat=True)[: most - len(ids)]
                looked_at = last if oldest_first else first
                if len(ids) == most or looked_at == end:
                    break
                # The next range takes about as long as all before it.
                if monotonic() - started > seconds / 2:
                    return Found(tuple(ids), looked_at)
    except OperationalError as error:
        if not is_locked(error):
            raise
        return Found(tuple(ids), looked_at)
    return Found(tuple(ids))


def ranges(low: int, high: int, *, oldest_first: bool) -> Iterator[tuple[int, int]]:
    """Yield ranges of numbers, each twice as long as the one before."""
    size = FIRST_RANGE
    while low <= high:
        if oldest_first:
            yield low, min(high, low + size - 1)
            low += size
        else:
            yield max(low, high - size + 1), high
            high -= size
        size *= 2
