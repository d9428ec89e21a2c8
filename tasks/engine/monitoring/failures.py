"""Runs that failed or ended with errors."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Subquery, Value

from tasks.engine.models import State, TaskRun, TaskRunQuerySet

#: Failures that are listed one by one, the latest ones.
MAX_LISTED = 10

#: Characters of an error's last line that are shown.
MAX_ERROR_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class Failures:
    """How many runs failed or ended with errors, and some of them, the latest first."""

    count: int
    latest: tuple[TaskRun, ...]

    @property
    def until(self) -> str:
        """When the newest of them ended, as a form sends it back."""
        newest = self.latest[0].finished_at if self.latest else None
        return newest.isoformat() if newest else ""


def failed_since(moment: datetime) -> Failures:
    return latest_of(TaskRun.objects.filter(state=State.FAILED, finished_at__gte=moment))


def unacknowledged() -> Failures:
    """Return the runs that failed or ended with errors, and that nobody has acknowledged."""
    return latest_of(TaskRun.objects.unacknowledged())


def latest_of(runs: TaskRunQuerySet) -> Failures:
    """Count runs that have ended, and return the latest, with one query."""
    # The count alone needs no more than an index, however many there are.
    number = runs.order_by().values(all=Value(1)).annotate(number=Count("*")).values("number")
    counted = runs.annotate(in_all=Subquery(number)).order_by("-finished_at", "-pk")
    latest = tuple(counted[:MAX_LISTED])
    return Failures(count=vars(latest[0])["in_all"] if latest else 0, latest=latest)


def shown_error(run: TaskRun) -> str:
    """Return the start of the last line of a run's error; empty if it has none."""
    return run.error_summary[:MAX_ERROR_LENGTH]
