"""Runs bulk operations: range after range, and at the end what was locked."""

from functools import partial
from time import monotonic, sleep
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connection

from todos.bulk.checkpoint import MOST_LOCKED_OWNERS, Checkpoint, HeldRange, OnBatch
from todos.bulk.errors import is_blocked, log_or_raise
from todos.bulk.failing_rows import isolate
from todos.bulk.operation import BulkOperation
from todos.bulk.sql import Rows
from todos.bulk.store import CheckpointStore, InMemoryStore

logger = structlog.get_logger(__name__)

#: How long to rest after a range, as a multiple of the time it took. SQLite has one writer at a
#: time, and no queue for the others.
REST_FACTORS = {"postgresql": 0.0, "sqlite": 1.0}

#: A range that took so long that this would be exceeded has waited, for a lock or in an outage.
LONGEST_REST_SECONDS = 10.0

#: After this many time-outs, no lock is waited for: locked rows are passed over at once.
MOST_TIMEOUTS = 5

#: How often a range with locked rows is tried again at the end, and the pause before each try.
RETRIES = 3
RETRY_PAUSE_SECONDS = 2.0


def run[K, R](
    operation: BulkOperation[K, R],
    store: CheckpointStore | None = None,
    *,
    batch_size: int | None = None,
    on_batch: OnBatch[K] | None = None,
) -> R:
    """Begin an operation, or continue it from its checkpoint; return the report of the whole.

    Todos that make it fail are left out. What another transaction has locked is passed over, and
    tried again at the end.

    Args:
        operation: what to do.
        store: keeps the checkpoint; by default nothing does.
        batch_size: candidates to pass in one transaction, instead of what suits the database.
        on_batch: called with the checkpoint after each range.

    Raises:
        DatabaseError: the database failed, and not because of single rows. What was done stays
            done; another run continues with the rest.
    """
    operation.open(store or InMemoryStore())
    if operation.checkpoint.last is not None:
        size = batch_size or operation.batch_size()
        pass_ranges(operation, operation.checkpoint.last, size, on_batch)
    retry_held(operation)
    return operation.report()


def pass_ranges[K](
    operation: BulkOperation[K, Any], last: K, size: int, on_batch: OnBatch[K] | None
) -> None:
    candidates = Rows.of(operation.candidates(), key=operation.key)

    def count(after: K | None, number: int) -> K:
        end = candidates.between(after, last).position_at(number)
        return last if end is None else end

    ranges = operation.store.read(lambda: operation.ranges(count, last=last, size=size))
    rest_factor = settings.TODO_SWEEP_PAUSE
    if rest_factor is None:
        rest_factor = REST_FACTORS[connection.vendor]
    while (after := operation.checkpoint.cursor) != last:
        started, rows = monotonic(), operation.checkpoint.rows
        through = operation.store.read(partial(ranges.end_after, after))
        pass_range(operation, after, through)
        ranges.learn(after, through, operation.checkpoint.rows - rows)
        took = monotonic() - started
        if on_batch:
            on_batch(operation.checkpoint)
        if rest := min(rest_factor * took, LONGEST_REST_SECONDS):
            sleep(rest)


def pass_range[K](operation: BulkOperation[K, Any], after: K | None, through: K) -> None:
    """Act on a range as a whole; if that fails, without what is locked or makes it fail."""
    timeouts = 0

    def as_whole() -> Checkpoint[K]:
        return operation.act_on_all(after, through).advanced(through, operation.key)

    def without_locked() -> Checkpoint[K]:
        return ended(operation.act_on_unlocked(operation.unsolved(after, through)))

    def ended(checkpoint: Checkpoint[K]) -> Checkpoint[K]:
        if operation.unsolved(after, through).exists():  # What is left is locked.
            checkpoint = checkpoint.range_held(after, through)
        return checkpoint.advanced(through, operation.key).timed_out(timeouts)

    waits = operation.checkpoint.timeouts < MOST_TIMEOUTS
    for act in (as_whole, without_locked) if waits else (without_locked,):
        try:
            operation.step(act)
        except DatabaseError as error:
            log_or_raise(error, "range failed", timeouts=timeouts)
            if act is without_locked or not is_blocked(error):
                break
            timeouts = 1
        else:
            return
    isolate(operation, after, through)
    operation.step(lambda: ended(operation.checkpoint))


def retry_held[K](operation: BulkOperation[K, Any]) -> None:
    tries = -1
    while operation.checkpoint.held:
        held = operation.checkpoint.held[0]
        if held.tries != tries:
            tries = held.tries
            sleep(RETRY_PAUSE_SECONDS)
        retry(operation, held)


def retry[K](operation: BulkOperation[K, Any], held: HeldRange[K]) -> None:
    """Act on the rows of a held range that have been unlocked by now."""
    rest = partial(operation.unsolved, held.after, held.through, held.user_id)

    def end(checkpoint: Checkpoint[K]) -> Checkpoint[K]:
        if held.tries + 1 < RETRIES:
            return checkpoint.retried(held, again=rest().exists())
        people = rest().order_by("user_id").values_list("user_id", flat=True).distinct()
        owners = list(people[:MOST_LOCKED_OWNERS])
        for user_id in owners:
            logger.warning("todos locked until the end", user_id=user_id)
        return checkpoint.retried(held, again=False).owners_locked(owners)

    try:
        operation.step(lambda: end(operation.act_on_unlocked(rest())))
    except DatabaseError as error:
        log_or_raise(error, "retry of a locked range failed")
        if not is_blocked(error):
            isolate(operation, held.after, held.through, held.user_id)
        operation.step(lambda: end(operation.checkpoint))
