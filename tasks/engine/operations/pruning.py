"""Housekeeping: deletes runs that ended long ago, in batches."""

from datetime import timedelta
from typing import TypedDict

from dramatiq.broker import get_broker

from tasks.engine.database import database_now, exclusive_transaction
from tasks.engine.metrics.tallies import tallies_of
from tasks.engine.models import RunTotal, Tally, TaskRun, TaskRunQuerySet
from tasks.engine.models.run_total import KEY_FIELDS, SUM_FIELDS
from tasks.engine.operations.counting import count_next_hours, forget_old_counts
from tasks.engine.worker.middleware import is_recorded

KEEP_DAYS = 90

#: For runs of actors that are not recorded, such as ping's.
KEEP_UNRECORDED_DAYS = 1

#: A run's row must outlast every copy of its message: without it a late one would run it again.
MIN_KEEP_DAYS = 1
MAX_KEEP_DAYS = 3_650

RUNS_PER_TRANSACTION = 5_000


class PruneReport(TypedDict):
    runs_deleted: int


def prune_runs(*, keep_days: int = KEEP_DAYS, dry_run: bool = False) -> PruneReport:
    """Delete runs that ended more than `keep_days` ago, and unrecorded ones of more than a day ago.

    A dry run counts them.

    Raises:
        ValueError: `keep_days` is not from MIN_KEEP_DAYS to MAX_KEEP_DAYS.
    """
    if not MIN_KEEP_DAYS <= keep_days <= MAX_KEEP_DAYS:
        raise ValueError(
            f"runs are kept from {MIN_KEEP_DAYS} to {MAX_KEEP_DAYS:,} days, not {keep_days}"
        )
    if not dry_run:
        while count_next_hours():
            pass
        forget_old_counts()
    act = TaskRunQuerySet.count if dry_run else delete_in_batches
    return {"runs_deleted": sum(act(runs) for runs in prunable(keep_days))}


def delete_in_batches(runs: TaskRunQuerySet) -> int:
    """Delete runs that have ended, the oldest first; return how many there were."""
    deleted = 0
    while batch := delete_batch(runs.order_by("finished_at")):
        deleted += batch
    return deleted


def delete_batch(runs: TaskRunQuerySet) -> int:
    """Delete the first of some runs that have ended; keep what they add up to."""
    # Two at once would count the same runs twice.
    with exclusive_transaction("prune runs"):
        pks = list(runs.values_list("pk", flat=True)[:RUNS_PER_TRANSACTION])
        # A run that has ended never changes again, so what was found can still be deleted.
        batch = TaskRun.objects.filter(pk__in=pks)
        add_to_totals(batch)
        return batch.delete()[0]


def add_to_totals(runs: TaskRunQuerySet) -> None:
    """Add runs that are about to be deleted to the totals, in their transaction."""
    tallies = {tally.key: tally for tally in tallies_of(runs)}
    stored = RunTotal.objects.filter(task__in={tally.task for tally in tallies.values()})
    for row in stored.values_list(*Tally._fields):
        total = Tally(*row)
        if total.key in tallies:
            tallies[total.key] = tallies[total.key].plus(total)
    RunTotal.objects.bulk_create(
        map(RunTotal.of, tallies.values()),
        update_conflicts=True,
        unique_fields=KEY_FIELDS,
        update_fields=SUM_FIELDS,
    )


def prunable(keep_days: int) -> tuple[TaskRunQuerySet, TaskRunQuerySet]:
    """Return the runs that are old enough: all kinds, and the unrecorded ones that ended since.

    Not in one query, for which SQLite would read the whole table: the former are found by when they
    ended, the latter by their task.
    """
    now = database_now()
    long_ago = now - timedelta(days=keep_days)
    yesterday = now - timedelta(days=KEEP_UNRECORDED_DAYS)
    return (
        TaskRun.objects.filter(finished_at__lt=long_ago),
        TaskRun.objects.filter(
            task__in=unrecorded_tasks(), finished_at__gte=long_ago, finished_at__lt=yesterday
        ),
    )


def unrecorded_tasks() -> list[str]:
    """Return the tasks whose actors are not recorded: their runs are many, and each says little."""
    broker = get_broker()
    return [task for task in broker.actors if not is_recorded(broker, task)]
