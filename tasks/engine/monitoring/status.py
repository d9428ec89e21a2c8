"""The status of background work; `problems.py` says what of it an operator must act on."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from django.conf import settings
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, RowNumber
from django.utils import timezone
from dramatiq import Actor
from dramatiq.broker import get_broker
from dramatiq.errors import ActorNotFound

from tasks.engine.broker.queues import QueueStatus, look_at_queues
from tasks.engine.database import CLOCK_TOLERANCE, database_now
from tasks.engine.models import Process, Schedule, State, TaskRun, TaskRunQuerySet
from tasks.engine.models.process import known_tasks, liveness
from tasks.engine.models.run import count_errors
from tasks.engine.recurrence import Recurrence
from tasks.engine.worker.middleware import is_recorded
from tasks.names import TaskName

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

    class Pointers(TypedDict):
        """What `with_runs` adds to a schedule."""

        last_run_id: int | None
        last_success_id: int | None
        last_slot_run_id: int | None
        last_success_slot: datetime | None

    type PointingSchedule = WithAnnotations[Schedule, Pointers]

#: How long after its time a slot may be without its row.
SLOT_GRACE = timedelta(seconds=30)

#: How long after its time a run may be without having been sent, or then without a worker. With the
#: time that a look takes, an operator knows within a minute.
WAIT_GRACE = timedelta(seconds=45)

#: How long a run that works in steps may take for one.
STEP_GRACE = timedelta(minutes=2)

#: How long a run without steps may go beyond its actor's time limit.
LIMIT_GRACE = timedelta(minutes=1)

#: The time limit (ms) of an actor that names none: Dramatiq's own.
TIME_LIMIT = 10 * 60 * 1000

#: An actor may name none that ever ends; its runs are told of after this time (ms), a day.
LONGEST_TIME_LIMIT = 24 * 60 * 60 * 1000

#: Slots in a row, none of which has succeeded, that are a problem; and how long one may take.
MOST_SLOTS_WITHOUT_SUCCESS = 2
SUCCESS_GRACE = timedelta(minutes=1)

#: The part of the liveness after which a process's silence is told, before it counts as gone.
SILENCE = 0.5

#: Pings in a row, without an answer to any, that make the pulse stale.
MOST_PINGS_LOST = 3

#: Failures of the last day that are told one by one, the latest ones.
MOST_FAILURES = 10

#: Letters of an error that are told.
LONGEST_ERROR = 200


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    """A run that has succeeded or failed.

    Attributes:
        summary: what it counted, in words.
        error: the last line of its error.
        errors: how many errors its result names.
    """

    run: int
    task: str
    state: str
    finished_at: datetime | None
    summary: str
    error: str
    errors: int


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
        last_success_slot: the latest slot whose run succeeded.
        unsuccessful_since: the first of its last MOST_SLOTS_WITHOUT_SUCCESS slots, if none of them
            has succeeded.
        held_until: until then none of its slots is claimed, as the database's clock was ahead when
            it was last dealt with, and has been set back since; None if that is not so.
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
    last_success_slot: datetime | None
    unsuccessful_since: datetime | None
    held_until: datetime | None


@dataclass(frozen=True, kw_only=True)
class ActiveRuns:
    """The unfinished runs of a task.

    Attributes:
        overdue: those of the pending ones that should have been sent by now.
        oldest_age_seconds: how long the oldest has been owed.
        oldest_run: the number of the first of them.
        waiting: those of the queued ones that a worker should have taken up by now.
        stalled: those of the running ones that should have got on by now.
        orphaned: those whose process is gone, and that nobody has taken from it.
        stopping: those that were asked to stop and should have by now.
        interrupted: those that are tried again, as database or broker failed in the middle.
    """

    task: str
    pending: int
    queued: int
    running: int
    overdue: int
    oldest_age_seconds: float
    oldest_run: int
    waiting: "Stuck"
    stalled: "Stuck"
    orphaned: "Stuck"
    stopping: "Stuck"
    interrupted: "Stuck"


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """Runs of one task and kind that should have got on.

    Attributes:
        run: the one that has not for the longest time; None if there is none.
        queue: that one's.
        since: since when it has not.
    """

    count: int
    run: int | None
    queue: str
    since: datetime | None


NOTHING_STUCK = Stuck(count=0, run=None, queue="", since=None)


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Runs that failed within the last day; or that nobody has acknowledged, those that succeeded
    with errors among them.

    Attributes:
        latest: some of them, the latest first.
    """

    count: int
    latest: tuple[EndedRun, ...]

    @property
    def until(self) -> str:
        """When the newest of them ended, as a form sends it back."""
        newest = self.latest[0].finished_at if self.latest else None
        return newest.isoformat() if newest else ""


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """A process.

    Attributes:
        run: of a silent one, the first of the runs that it is at, if it is at any.
    """

    kind: str
    host: str
    pid: int
    queues: tuple[str, ...]
    started_at: datetime
    seen_at: datetime
    run: int | None


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
        unacknowledged: failures and errors that no operator has said they know of.
        silent_processes: those not heard of lately, or last by a clock that has been set back.
        unknown_tasks: those of unfinished runs that no live worker has an actor for.
        clock_ahead_seconds: by how much this host's clock is ahead of the database's.
    """

    now: datetime
    schedules: tuple[ScheduleStatus, ...]
    active_runs: tuple[ActiveRuns, ...]
    failures: Failures
    processes: tuple[ProcessStatus, ...]
    unserved_queues: tuple[str, ...]
    queues: tuple[QueueStatus, ...]
    broker_error: str
    pulse: Pulse
    unacknowledged: Failures
    silent_processes: tuple[ProcessStatus, ...]
    unknown_tasks: tuple[str, ...]
    clock_ahead_seconds: float


def gather() -> Status:
    """Look at everything, with a handful of queries however much there is.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    now = database_now()
    ahead = clock_ahead(now)
    schedules = list(with_runs(Schedule.objects.order_by("task")))
    runs = TaskRun.objects.in_bulk({pk for schedule in schedules for pk in runs_of(schedule) if pk})
    everyone = [*Process.objects.order_by("kind", "host", "pid")]
    alive = [process for process in everyone if abs(now - process.seen_at) <= liveness()]
    silent = [process for process in everyone if is_silent(process, now)]
    held = first_runs(silent)
    used = {actor.queue_name for actor in get_broker().actors.values()}
    served = {name for process in alive for name in process.queues}
    in_hand, failed = active_runs(now), failures(since=now - timedelta(days=1))
    tasks, known = {runs.task for runs in in_hand}, known_tasks(alive)
    queues, broker_error = look_at_queues(sorted(used | served), now)
    return Status(
        now=now,
        schedules=tuple(schedule_status(schedule, runs, now) for schedule in schedules),
        active_runs=in_hand,
        failures=failed,
        processes=tuple(process_status(process) for process in alive),
        unserved_queues=tuple(sorted(used - served)),
        queues=queues,
        broker_error=broker_error,
        pulse=pulse(schedules, runs, now),
        unacknowledged=unacknowledged(),
        silent_processes=tuple(process_status(process, held.get(process.pk)) for process in silent),
        unknown_tasks=tuple(sorted(tasks - known)) if known is not None else (),
        clock_ahead_seconds=ahead,
    )


def clock_ahead(now: datetime) -> float:
    """Return by how many seconds this host's clock is ahead of the database's.

    Args:
        now: what the database's says.
    """
    return (timezone.now() - now).total_seconds()


def is_silent(process: Process, now: datetime) -> bool:
    """Say whether a process should have been heard of since, or was by a clock set back since."""
    ago = now - process.seen_at
    return ago > liveness() * SILENCE or ago < -CLOCK_TOLERANCE


def first_runs(processes: Collection[Process]) -> Mapping[UUID | None, int]:
    """Return the first of the runs that each of some processes is at."""
    if not processes:
        return {}
    at_work = TaskRun.objects.unfinished().filter(
        state=State.RUNNING, held_by__in=[process.pk for process in processes]
    )
    return dict(at_work.order_by().values_list("held_by").annotate(Min("pk")))


def with_runs(schedules: "QuerySet[Schedule]") -> "QuerySet[PointingSchedule]":
    """Have schedules say which runs their status tells of."""
    ran = TaskRun.objects.filter(task=OuterRef("task")).values("pk")
    # By the index of finished_at: where it says so, SQLite may use it.
    ended = ran.filter(finished_at__isnull=False).order_by("-finished_at")
    return schedules.annotate(
        last_run_id=Subquery(ended.filter(state__in=[State.SUCCEEDED, State.FAILED])[:1]),
        last_success_id=Subquery(ended.filter(state=State.SUCCEEDED)[:1]),
        last_slot_run_id=Subquery(ran.filter(scheduled_for=OuterRef("last_slot"))[:1]),
        last_success_slot=Subquery(
            ran.filter(state=State.SUCCEEDED, scheduled_for__isnull=False)
            .order_by("-scheduled_for")
            .values("scheduled_for")[:1]
        ),
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
    times = next_slot = overdue_slot = unsuccessful_since = None
    try:
        times = schedule.recurrence
        get_broker().get_actor(schedule.task)
        next_slot = next(times.after(now), None) if schedule.enabled else None
        overdue_slot = overdue(schedule, times, now) if schedule.enabled else None
        at_work = run_of_last_slot is not None and not run_of_last_slot.is_finished
        unsuccessful_since = unsuccessful(schedule, times, now, at_work=at_work)
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
        last_success_slot=schedule.last_success_slot,
        unsuccessful_since=unsuccessful_since,
        held_until=held_until(schedule, now),
    )


def held_until(schedule: Schedule, now: datetime) -> datetime | None:
    """Return the moment until which no slot is claimed, if only a clock set back explains it."""
    ahead = schedule.enabled and schedule.is_ahead_of(now)
    return schedule.handled_until if ahead else None


def overdue(schedule: Schedule, times: Recurrence, now: datetime) -> datetime | None:
    """Return the latest slot, if it should have been dealt with by now and has not been."""
    latest = next(times.until(now - SLOT_GRACE), None)
    return latest if latest and latest > schedule.handled_until else None


def unsuccessful(
    schedule: "PointingSchedule", times: Recurrence, now: datetime, *, at_work: bool
) -> datetime | None:
    """Return the first of a schedule's last slots if none of them has succeeded.

    Only its own runs count: that somebody has run the task by hand, for one person perhaps, is no
    success of the night. A cancelled or skipped slot has not succeeded either; one alone is nothing
    to act on. The pulse, which is not recorded, has a rule of its own.

    Args:
        schedule: which.
        times: when it is due.
        now: by the database's clock.
        at_work: the run of its latest slot has not ended: that slot is not counted yet.
    """
    if not schedule.enabled or not is_recorded(get_broker(), schedule.task):
        return None
    slots = takewhile(
        lambda slot: slot > schedule.effective_since, times.until(now - SUCCESS_GRACE)
    )
    counted = (slot for slot in slots if not (at_work and slot == schedule.last_slot))
    latest = list(islice(counted, MOST_SLOTS_WITHOUT_SUCCESS))
    if len(latest) < MOST_SLOTS_WITHOUT_SUCCESS:
        return None
    success = schedule.last_success_slot
    return latest[-1] if success is None or success < latest[-1] else None


def ended_run(run: TaskRun) -> EndedRun:
    """Return what there is to say of a run that has ended."""
    return EndedRun(
        run=run.pk,
        task=run.task,
        state=run.state,
        finished_at=run.finished_at,
        summary=run.summary,
        error=run.error_summary[:LONGEST_ERROR],
        errors=count_errors(run.result),
    )


def active_runs(now: datetime) -> tuple[ActiveRuns, ...]:
    """Return the unfinished runs, by task."""
    # A run that the broker does not take is due anew every few seconds: until it has been taken up
    # it counts from the moment it was owed.
    late = Q(due_at__lt=now - WAIT_GRACE)
    refused = Q(sent_at__isnull=False, attempts=0, created_at__lt=now - WAIT_GRACE)
    stuck = stuck_runs(now)
    tasks = (
        TaskRun.objects.unfinished()
        .values("task")
        .annotate(
            pending=Count("pk", filter=Q(state=State.PENDING)),
            queued=Count("pk", filter=Q(state=State.QUEUED)),
            running=Count("pk", filter=Q(state=State.RUNNING)),
            overdue=Count("pk", filter=Q(state=State.PENDING) & (late | refused)),
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
            waiting=stuck.get((row["task"], "waiting"), NOTHING_STUCK),
            stalled=stuck.get((row["task"], "stalled"), NOTHING_STUCK),
            orphaned=stuck.get((row["task"], "orphaned"), NOTHING_STUCK),
            stopping=stuck.get((row["task"], "stopping"), NOTHING_STUCK),
            interrupted=stuck.get((row["task"], "interrupted"), NOTHING_STUCK),
        )
        for row in tasks
    )


def stuck_runs(now: datetime) -> Mapping[tuple[str, str], Stuck]:
    """Return the runs that should have got on, by task and kind; each is of one kind alone."""
    before = now - WAIT_GRACE
    running = Q(state=State.RUNNING)
    kinds = {
        "orphaned": (
            "last_progress_at",
            running & Q(holder_is_there=False, last_progress_at__lt=before),
        ),
        "stopping": ("stop_requested_at", running & Q(stop_requested_at__lt=before)),
        "stalled": ("last_progress_at", stalled(now)),
        "waiting": ("due_at", Q(state=State.QUEUED, due_at__lt=before)),
        "interrupted": ("progressed_at", interrupted()),
    }
    own: dict[str, Any] = {"partition_by": ["task", "kind"]}
    runs = (
        TaskRun.objects.unfinished()
        .annotate(
            last_progress_at=Coalesce("progressed_at", "started_at", "created_at"),
            holder_is_there=Exists(Process.objects.filter(pk=OuterRef("held_by"))),
        )
        .annotate(kind=choose({kind: (which, Value(kind)) for kind, (_, which) in kinds.items()}))
        .filter(kind__isnull=False)
        .annotate(since=choose({kind: (Q(kind=kind), F(at)) for kind, (at, _) in kinds.items()}))
        .annotate(
            place=Window(RowNumber(), order_by=["since", "pk"], **own),
            in_all=Window(Count("pk"), **own),
        )
        .filter(place=1)
    )
    return {
        (task, kind): Stuck(count=count, run=run, queue=queue, since=since)
        for task, kind, count, run, queue, since in runs.values_list(
            "task", "kind", "in_all", "pk", "queue", "since"
        )
    }


def choose(values: Mapping[str, tuple[Q, Value | F]]) -> Case:
    """Return the value of the first condition that holds, or NULL."""
    return Case(*(When(which, then=value) for which, value in values.values()))


def stalled(now: datetime) -> Q:
    """Say of a run at work that it should have got on by now.

    One that works in steps takes each within seconds. Of one that does not, nothing is known until
    its actor's time limit has passed.
    """
    limits = {
        name: timedelta(milliseconds=time_limit(actor)) + LIMIT_GRACE
        for name, actor in get_broker().actors.items()
    }
    beyond = Q(last_progress_at__lt=now - timedelta(milliseconds=TIME_LIMIT) - LIMIT_GRACE)
    over_limit = beyond & ~Q(task__in=limits)
    for name, limit in limits.items():
        over_limit |= Q(task=name, last_progress_at__lt=now - limit)
    no_steps = Q(progress={})
    between_steps = ~no_steps & Q(last_progress_at__lt=now - STEP_GRACE)
    return Q(state=State.RUNNING) & (between_steps | (no_steps & over_limit))


def interrupted() -> Q:
    """Say of a run that its last attempt ended by no fault of its own, and got no further.

    Each step that gets further takes the error away.
    """
    waits = Q(state__in=(State.PENDING, State.QUEUED), attempts__gt=0, failures=0)
    return waits & ~Q(error="")


def time_limit(actor: Actor[..., Any]) -> float:
    """Return how long (ms) an actor may take."""
    return min(actor.options.get("time_limit") or TIME_LIMIT, LONGEST_TIME_LIMIT)


def failures(*, since: datetime) -> Failures:
    """Return the runs that have failed since some moment."""
    return latest_of(TaskRun.objects.filter(state=State.FAILED, finished_at__gte=since))


def unacknowledged() -> Failures:
    """Return the failures and errors that no operator has acknowledged."""
    return latest_of(TaskRun.objects.unacknowledged())


def latest_of(runs: TaskRunQuerySet) -> Failures:
    """Count runs that have ended, and return the latest, with one query."""
    counted = runs.annotate(in_all=Window(Count("pk"))).order_by("-finished_at", "-pk")
    latest = list(counted[:MOST_FAILURES])
    return Failures(
        count=vars(latest[0])["in_all"] if latest else 0,
        latest=tuple(ended_run(run) for run in latest),
    )


def process_status(process: Process, run: int | None = None) -> ProcessStatus:
    """Return what there is to say of a process.

    Args:
        process: which.
        run: the first of the runs that it is at, where that is to be told.
    """
    return ProcessStatus(
        kind=process.kind,
        host=process.host,
        pid=process.pid,
        queues=tuple(process.queues),
        started_at=process.started_at,
        seen_at=process.seen_at,
        run=run,
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
        slots = list(islice(ping.recurrence.until(now), MOST_PINGS_LOST))
    except ValueError:
        return False  # That is another fault than this.
    return len(slots) == MOST_PINGS_LOST and slots[-1] > since


def seconds_since(moment: datetime, now: datetime) -> float:
    """Return the age of something; not less than 0, as not everything goes by the same clock."""
    return max(0.0, (now - moment).total_seconds())
