"""How background work is doing; `tasks/problems.py` says what of it an operator must act on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, TypedDict

from django.conf import settings
from django.db.models import Count, Min, OuterRef, Q, QuerySet, Subquery, Window
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound

from tasks.clock import database_now
from tasks.models import Process, Schedule, State, TaskRun
from tasks.names import TaskName
from tasks.queues import QueueStatus, look_at_queues
from tasks.times import Times

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class Pointers(TypedDict):
        """What `with_runs` adds to a schedule."""

        last_run_id: int | None
        last_success_id: int | None
        last_slot_run_id: int | None

    type PointingSchedule = WithAnnotations[Schedule, Pointers]

#: How long after its time a slot may be without its row.
SLOT_GRACE = timedelta(seconds=30)

#: How long after its time a run may be without having been sent.
SEND_GRACE = timedelta(minutes=1)

#: Pings in a row, without an answer to any, that make the pulse stale.
MOST_PINGS_LOST = 3

#: Failures of the last day that are told one by one, the latest ones.
MOST_FAILURES = 10

#: Letters of an error that are told.
LONGEST_ERROR = 200

#: What stands in its place for those who may not see todos: it may quote one.
WITHHELD = "its text may quote todos, which you may not see"


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    """A run that has succeeded or failed.

    Attributes:
        summary: what it counted, in words.
        error: the last line of its error.
    """

    run: int
    task: str
    state: str
    finished_at: datetime | None
    summary: str
    error: str


@dataclass(frozen=True, kw_only=True)
class ScheduleStatus:
    """A schedule, where it stands and what is wrong with it.

    Attributes:
        id: its row.
        times: its times in words; empty if they make no sense.
        timezone: where its hours are.
        fault: why it cannot be used; empty if it can.
        last_slot: the latest slot that has been dealt with.
        last_slot_state: what became of that; empty if there is no row of it (any more).
        last_run: the task's run that ended last, whoever asked for it.
        next_slot: None if it is switched off.
        overdue_slot: one that has come and that nobody has dealt with.
    """

    id: int
    task: str
    enabled: bool
    times: str
    timezone: str
    fault: str
    last_slot: datetime | None
    last_slot_state: str
    last_run: EndedRun | None
    next_slot: datetime | None
    overdue_slot: datetime | None


@dataclass(frozen=True, kw_only=True)
class RunsInHand:
    """The unfinished runs of a task.

    Attributes:
        overdue: those of the pending ones that should have been sent by now.
        oldest_age_seconds: how long the oldest has been owed.
    """

    task: str
    pending: int
    queued: int
    running: int
    overdue: int
    oldest_age_seconds: float


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The runs that failed within the last day.

    Attributes:
        latest: some of them, the latest first.
    """

    count: int
    latest: tuple[EndedRun, ...]


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """A process that is alive."""

    kind: str
    host: str
    pid: int
    queues: tuple[str, ...]
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """When a ping last went all the way; it is stale if too many have come to nothing since."""

    last_at: datetime | None
    age_seconds: float | None
    stale: bool


@dataclass(frozen=True, kw_only=True)
class Status:
    """Everything at one moment, by the database's clock.

    Attributes:
        unserved_queues: those that an actor uses and no live worker serves.
        broker_error: why the broker could not be asked; then there is nothing in `queues`.
    """

    now: datetime
    schedules: tuple[ScheduleStatus, ...]
    runs_in_hand: tuple[RunsInHand, ...]
    failures: Failures
    processes: tuple[ProcessStatus, ...]
    unserved_queues: tuple[str, ...]
    queues: tuple[QueueStatus, ...]
    broker_error: str
    pulse: Pulse


def gather() -> Status:
    """Look at everything, with a handful of queries however much there is.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    now = database_now()
    schedules = list(with_runs(Schedule.objects.order_by("task")))
    runs = TaskRun.objects.in_bulk({pk for schedule in schedules for pk in runs_of(schedule) if pk})
    processes = [*Process.objects.alive().order_by("kind", "host", "pid")]
    used = {actor.queue_name for actor in get_broker().actors.values()}
    served = {name for process in processes for name in process.queues}
    in_hand, failed = runs_in_hand(now), failures(since=now - timedelta(days=1))
    queues, broker_error = look_at_queues(sorted(used | served), now)
    return Status(
        now=now,
        schedules=tuple(schedule_status(schedule, runs, now) for schedule in schedules),
        runs_in_hand=in_hand,
        failures=failed,
        processes=tuple(process_status(process) for process in processes),
        unserved_queues=tuple(sorted(used - served)),
        queues=queues,
        broker_error=broker_error,
        pulse=pulse(schedules, runs, now),
    )


def with_runs(schedules: "QuerySet[Schedule]") -> "QuerySet[PointingSchedule]":
    """Have schedules say which runs their status tells of."""
    ran = TaskRun.objects.filter(task=OuterRef("task")).values("pk")
    # By the index of finished_at: where it says so, SQLite may use it.
    ended = ran.filter(finished_at__isnull=False).order_by("-finished_at")
    return schedules.annotate(
        last_run_id=Subquery(ended.filter(state__in=[State.SUCCEEDED, State.FAILED])[:1]),
        last_success_id=Subquery(ended.filter(state=State.SUCCEEDED)[:1]),
        last_slot_run_id=Subquery(ran.filter(scheduled_for=OuterRef("last_slot"))[:1]),
    )


def runs_of(schedule: "PointingSchedule") -> tuple[int | None, ...]:
    """Return the ids of the runs that a schedule's status tells of."""
    return schedule.last_run_id, schedule.last_success_id, schedule.last_slot_run_id


def schedule_status(
    schedule: "PointingSchedule", runs: Mapping[int, TaskRun], now: datetime
) -> ScheduleStatus:
    """Return where a schedule stands, however broken it is."""
    last_run = runs.get(schedule.last_run_id or 0)
    run_of_last_slot = runs.get(schedule.last_slot_run_id or 0)
    fault = ""
    times = next_slot = overdue_slot = None
    try:
        times = schedule.times
        get_broker().get_actor(schedule.task)
        next_slot = next(times.after(now), None) if schedule.enabled else None
        overdue_slot = overdue(schedule, times, now) if schedule.enabled else None
    except ActorNotFound:
        fault = "No actor does this task."
    except ValueError as error:
        fault = str(error)
    return ScheduleStatus(
        id=schedule.pk,
        task=schedule.task,
        enabled=schedule.enabled,
        times=times.describe() if times else "",
        timezone=schedule.timezone or settings.TIME_ZONE,
        fault=fault,
        last_slot=schedule.last_slot,
        last_slot_state=run_of_last_slot.state if run_of_last_slot else "",
        last_run=ended_run(last_run) if last_run else None,
        next_slot=next_slot,
        overdue_slot=overdue_slot,
    )


def overdue(schedule: Schedule, times: Times, now: datetime) -> datetime | None:
    """Return the latest slot, if it should have been dealt with by now and has not been."""
    latest = next(times.until(now - SLOT_GRACE), None)
    return latest if latest and latest > schedule.dealt_with_until else None


def ended_run(run: TaskRun) -> EndedRun:
    """Return what there is to say of a run that has ended."""
    return EndedRun(
        run=run.pk,
        task=run.task,
        state=run.state,
        finished_at=run.finished_at,
        summary=run.summary,
        error=run.last_words[:LONGEST_ERROR],
    )


def runs_in_hand(now: datetime) -> tuple[RunsInHand, ...]:
    """Return the unfinished runs, by task."""
    late = Q(state=State.PENDING, due_at__lt=now - SEND_GRACE)
    tasks = (
        TaskRun.objects.unfinished()
        .values("task")
        .annotate(
            pending=Count("pk", filter=Q(state=State.PENDING)),
            queued=Count("pk", filter=Q(state=State.QUEUED)),
            running=Count("pk", filter=Q(state=State.RUNNING)),
            overdue=Count("pk", filter=late),
            oldest=Min("created_at"),
        )
        .order_by("task")
    )
    return tuple(
        RunsInHand(
            task=row["task"],
            pending=row["pending"],
            queued=row["queued"],
            running=row["running"],
            overdue=row["overdue"],
            oldest_age_seconds=seconds_since(row["oldest"], now),
        )
        for row in tasks
    )


def failures(*, since: datetime) -> Failures:
    """Return the runs that have failed since some moment."""
    runs = TaskRun.objects.filter(state=State.FAILED, finished_at__gte=since)
    counted = runs.annotate(in_all=Window(Count("pk"))).order_by("-finished_at", "-pk")
    latest = list(counted[:MOST_FAILURES])
    return Failures(
        count=vars(latest[0])["in_all"] if latest else 0,
        latest=tuple(ended_run(run) for run in latest),
    )


def process_status(process: Process) -> ProcessStatus:
    """Return what there is to say of a process."""
    return ProcessStatus(
        kind=process.kind,
        host=process.host,
        pid=process.pid,
        queues=tuple(process.queues),
        started_at=process.started_at,
        seen_at=process.seen_at,
    )


def pulse(
    schedules: "Iterable[PointingSchedule]", runs: Mapping[int, TaskRun], now: datetime
) -> Pulse:
    """Return when a ping was last answered."""
    pings = [schedule for schedule in schedules if schedule.task == TaskName.PING]
    answered = [runs.get(ping.last_success_id or 0) for ping in pings]
    last_at = next((run.finished_at for run in answered if run), None)
    return Pulse(
        last_at=last_at,
        age_seconds=seconds_since(last_at, now) if last_at else None,
        stale=any(is_stale(last_at, ping, now) for ping in pings if ping.enabled),
    )


def is_stale(last_at: datetime | None, ping: Schedule, now: datetime) -> bool:
    """Say whether too many pings of a schedule have come to nothing."""
    since = max(ping.effective_since, last_at or ping.effective_since)
    try:
        slots = list(islice(ping.times.until(now), MOST_PINGS_LOST))
    except ValueError:
        return False  # That is another fault than this.
    return len(slots) == MOST_PINGS_LOST and slots[-1] > since


def seconds_since(moment: datetime, now: datetime) -> float:
    """Return the age of something; not less than 0, as not everything goes by the same clock."""
    return max(0.0, (now - moment).total_seconds())
