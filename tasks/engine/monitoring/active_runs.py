"""The unfinished runs of each task, and those of them that should have progressed."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, Exists, F, Min, OuterRef, Q, Value, When, Window
from django.db.models.functions import Coalesce, RowNumber
from dramatiq.broker import get_broker

from tasks.engine.models import Process, State, TaskRun
from tasks.engine.monitoring.clock import seconds_since

#: How long a run may be due without having been sent, or then wait for a worker. With the time
#: that a look takes, an operator knows within a minute.
WAIT_GRACE = timedelta(seconds=45)

#: By how much a run is due anew that was refused, at the least.
LATER = timedelta(seconds=1)

#: How long a run that works in steps may take for one.
STEP_GRACE = timedelta(minutes=2)

#: How long a run without steps may go beyond its actor's time limit.
LIMIT_GRACE = timedelta(minutes=1)

#: The time limit of an actor that names none: Dramatiq's own.
DEFAULT_TIME_LIMIT_MS = 10 * 60 * 1000

#: A longer time limit, or an endless one, counts as a day.
MAX_TIME_LIMIT_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """How many runs of one task and kind should have progressed.

    `run`, in `queue`, is the one that has not progressed for the longest time, and since when.
    """

    count: int = 0
    run: int | None = None
    queue: str = ""
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ActiveRuns:
    """The unfinished runs of a task.

    Attributes:
        overdue: how many should have been sent by now.
        oldest_age_seconds: how long ago the first of them was created.
        waiting: queued ones that a worker should have started by now.
        stalled: running ones that should have progressed by now.
        orphaned: running ones whose process is gone, and that nobody has released.
        stopping: running ones that were asked to stop and should have by now.
        interrupted: ones that will be retried, as database or broker failed in the middle.
    """

    task: str
    pending: int
    queued: int
    running: int
    overdue: int
    oldest_age_seconds: float
    oldest_run: int
    waiting: Stuck = Stuck()
    stalled: Stuck = Stuck()
    orphaned: Stuck = Stuck()
    stopping: Stuck = Stuck()
    interrupted: Stuck = Stuck()


def read_active_runs(now: datetime, *, held_up: Collection[str] = ()) -> tuple[ActiveRuns, ...]:
    """Return the unfinished runs of each task.

    Args:
        held_up: queues whose runs wait because they are paused, or were until a moment ago.
    """
    # A run that the broker refuses is due anew every few seconds: until a worker has started it,
    # it counts from the moment it was created.
    late = Q(state=State.PENDING, due_at__lt=now - WAIT_GRACE, waits_for__isnull=True)
    unstarted = Q(attempts=0, created_at__lt=now - WAIT_GRACE)
    refused = Q(state=State.PENDING, sent_at__isnull=False)
    # The same while it is being tried, which lasts if the broker is silent: a slot's run is due at
    # once, and later only if it was refused.
    tried_again = Q(
        state=State.QUEUED, scheduled_for__isnull=False, due_at__gt=F("created_at") + LATER
    )
    not_held_up = ~Q(queue__in=held_up)
    stuck = read_stuck_runs(now, not_held_up)
    tasks = (
        TaskRun.objects.unfinished()
        .values("task")
        .annotate(
            pending=Count("pk", filter=Q(state=State.PENDING)),
            queued=Count("pk", filter=Q(state=State.QUEUED)),
            running=Count("pk", filter=Q(state=State.RUNNING)),
            overdue=Count(
                "pk", filter=not_held_up & (late | (unstarted & (refused | tried_again)))
            ),
            oldest=Min("created_at"),
            oldest_run=Min("pk"),
        )
        .order_by("task")
    )
    return tuple(
        ActiveRuns(
            task=row["task"],
            pending=row["pending"],
            queued=row["queued"],
            running=row["running"],
            overdue=row["overdue"],
            oldest_age_seconds=seconds_since(row["oldest"], now),
            oldest_run=row["oldest_run"],
            **stuck[row["task"]],
        )
        for row in tasks
    )


def read_stuck_runs(now: datetime, not_held_up: Q) -> Mapping[str, Mapping[str, Stuck]]:
    """Return the runs that should have progressed, by task and kind; each is of one kind only.

    Args:
        not_held_up: the condition that a run's queue is not paused, so that it should start.
    """
    before = now - WAIT_GRACE
    running = Q(state=State.RUNNING)
    #: Of each kind, the runs, and the column that says since when they have not progressed.
    kinds = {
        "orphaned": (running & Q(held=False, last_progress_at__lt=before), "last_progress_at"),
        "stopping": (running & Q(stop_requested_at__lt=before), "stop_requested_at"),
        "stalled": (running & is_stalled(now), "last_progress_at"),
        "waiting": (not_held_up & Q(state=State.QUEUED, due_at__lt=before), "due_at"),
        "interrupted": (is_interrupted(), "progressed_at"),
    }
    group: dict[str, Any] = {"partition_by": ["task", "kind"]}
    runs = (
        TaskRun.objects.unfinished()
        .annotate(
            last_progress_at=Coalesce("progressed_at", "started_at", "created_at"),
            held=Exists(Process.objects.filter(pk=OuterRef("held_by"))),
        )
        .annotate(kind=Case(*(When(q, then=Value(kind)) for kind, (q, _) in kinds.items())))
        .filter(kind__isnull=False)
        .annotate(since=Case(*(When(q, then=F(at)) for q, at in kinds.values())))
        .annotate(
            place=Window(RowNumber(), order_by=["since", "pk"], **group),
            in_all=Window(Count("pk"), **group),
        )
        .filter(place=1)
    )
    found: dict[str, dict[str, Stuck]] = defaultdict(dict)
    columns = ("task", "kind", "in_all", "pk", "queue", "since")
    for task, kind, count, run, queue, since in runs.values_list(*columns):
        found[task][kind] = Stuck(count=count, run=run, queue=queue, since=since)
    return found


def is_stalled(now: datetime) -> Q:
    """Return the condition that a running run should have progressed by now.

    One that works in steps takes each within seconds. Of one that does not, nothing is known until
    its actor's time limit has passed.
    """
    limits = {
        name: longest_time(actor.options.get("time_limit"))
        for name, actor in get_broker().actors.items()
    }
    over_limit = ~Q(task__in=limits) & Q(last_progress_at__lt=now - longest_time(None))
    for name, limit in limits.items():
        over_limit |= Q(task=name, last_progress_at__lt=now - limit)
    no_steps = Q(progress={})
    return (no_steps & over_limit) | (~no_steps & Q(last_progress_at__lt=now - STEP_GRACE))


def is_interrupted() -> Q:
    """Return the condition that database or broker failed in a run's last attempt.

    The next step that progresses clears the error.
    """
    waits = Q(state__in=(State.PENDING, State.QUEUED), attempts__gt=0, failures=0)
    return waits & ~Q(error="")


def longest_time(limit: float | None) -> timedelta:
    """Return how long a run without steps may take; `limit` is its actor's time limit (ms)."""
    milliseconds = min(limit or DEFAULT_TIME_LIMIT_MS, MAX_TIME_LIMIT_MS)
    return timedelta(milliseconds=milliseconds) + LIMIT_GRACE
