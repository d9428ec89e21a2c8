"""Housekeeping: deletes runs that ended long ago, in batches."""

from datetime import timedelta
from typing import TypedDict

from django.db.models import Q
from dramatiq.broker import get_broker

from tasks.clock import database_now
from tasks.middleware import is_recorded
from tasks.models import TaskRun, TaskRunQuerySet

#: How long (days) a run is kept.
KEEP_DAYS = 90

#: How long (days) a run of an actor that is not recorded is kept, such as ping's: its pulse.
KEEP_PULSE_DAYS = 1

#: Runs in one transaction.
BATCH = 5_000


class PruneReport(TypedDict):
    """How many runs went, or would go."""

    runs_deleted: int


def prune_runs(*, keep_days: int = KEEP_DAYS, dry_run: bool = False) -> PruneReport:
    """Delete runs that ended more than `keep_days` ago, and pulses of more than a day ago.

    Args:
        keep_days: 0 or more.
        dry_run: count them; touch nothing.
    """
    runs = prunable(keep_days)
    if dry_run:
        return {"runs_deleted": runs.count()}
    deleted = 0
    while pks := list(runs.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        # A run that has ended never changes again, so what was found is still to go.
        deleted += runs.filter(pk__gte=pks[0], pk__lte=pks[-1]).delete()[0]
    return {"runs_deleted": deleted}


def prunable(keep_days: int) -> TaskRunQuerySet:
    """Return the runs that ended so long ago that they go."""
    now = database_now()
    broker = get_broker()
    pulse = [name for name in broker.actors if not is_recorded(broker, name)]
    old = Q(finished_at__lt=now - timedelta(days=keep_days))
    old_pulse = Q(finished_at__lt=now - timedelta(days=min(KEEP_PULSE_DAYS, keep_days)))
    return TaskRun.objects.filter(old | (old_pulse & Q(task__in=pulse)))
