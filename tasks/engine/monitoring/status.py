"""The status of background work; `problems.py` says what of it needs attention."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dramatiq.broker import get_broker

from tasks.engine.actors import ping
from tasks.engine.alerts.outbox import Undelivered
from tasks.engine.broker.queues import QueueStatus, look_at_queues
from tasks.engine.models import Process
from tasks.engine.models.process import known_tasks
from tasks.engine.monitoring.active_runs import ActiveRuns, read_active_runs
from tasks.engine.monitoring.failures import Failures, failed_since, unacknowledged
from tasks.engine.monitoring.last_ping import LastPing, find_last_ping
from tasks.engine.monitoring.pauses import Pauses, read_pauses
from tasks.engine.monitoring.processes import SilentProcess, read_processes
from tasks.engine.monitoring.schedules import ScheduleStatus, read_schedules
from tasks.engine.monitoring.undelivered import read_undelivered


@dataclass(frozen=True, kw_only=True)
class Status:
    """Everything at one moment, by the database's clock.

    Attributes:
        failures: the runs that failed within the last day.
        unacknowledged: those that failed or ended with errors, whenever that was, and that no
            operator has acknowledged.
        processes: those that are alive.
        absent_processes: those of them that do not use the broker, or another one than this.
        broker_unused: nobody has ever signed in at this process's broker.
        silent_processes: those without a recent heartbeat, or with one from the future; and those
            that are gone without a goodbye, until others have started in their place.
        read_only: whether the database is.
        queue_names: the queues that an actor uses, that a live worker serves, or that are paused.
        pauses: the queues that are paused, and what that explains.
        served_queues: those that live workers take from: not one that is about to leave.
        unserved_queues: those that an actor uses whose task live workers know, and that none of
            them serves.
        unknown_tasks: those of active runs that no live worker knows.
        queues: empty if the broker could not be asked: then `broker_error` says why.
        clock_ahead_seconds: by how much this host's clock is ahead of the database's.
        undelivered: the channels of alerts that fail.
    """

    now: datetime
    schedules: tuple[ScheduleStatus, ...]
    active_runs: tuple[ActiveRuns, ...]
    failures: Failures
    unacknowledged: Failures
    processes: tuple[Process, ...]
    absent_processes: tuple[Process, ...]
    broker_unused: bool
    silent_processes: tuple[SilentProcess, ...]
    read_only: bool
    queue_names: tuple[str, ...]
    pauses: Pauses
    served_queues: frozenset[str]
    unserved_queues: tuple[str, ...]
    unknown_tasks: tuple[str, ...]
    queues: tuple[QueueStatus, ...]
    broker_error: str
    last_ping: LastPing
    clock_ahead_seconds: float
    undelivered: tuple[Undelivered, ...]


def gather() -> Status:
    """Read the status, with a handful of queries however much there is.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    processes = read_processes()
    now = processes.now
    schedules = read_schedules(now)
    alive = processes.alive
    pauses = read_pauses(now, alive)
    active_runs = read_active_runs(now, held_up=pauses.held_up)
    known = known_tasks(alive)
    unknown = {runs.task for runs in active_runs} - known if known is not None else set()
    actors = get_broker().actors
    used = {actor.queue_name for actor in actors.values()}
    # Workers of the version before need not serve the queue of a task that they do not know: if a
    # run of it waits, the task is an unknown one.
    wanted = {actor.queue_name for task, actor in actors.items() if not known or task in known}
    served = {name for one in alive if not one.leaving_since for name in one.queues}
    names = used.union(*(one.queues for one in alive), (one.name for one in pauses.paused))
    queues, broker_error = look_at_queues(sorted(names), now)
    return Status(
        now=now,
        schedules=schedules,
        active_runs=active_runs,
        failures=failed_since(now - timedelta(days=1)),
        unacknowledged=unacknowledged(),
        processes=alive,
        # Who cannot write to the broker cannot sign in, either.
        absent_processes=() if broker_error else processes.absent,
        broker_unused=processes.broker_unused and not broker_error,
        silent_processes=processes.silent,
        read_only=processes.read_only,
        queue_names=tuple(sorted(names)),
        pauses=pauses,
        served_queues=frozenset(served),
        unserved_queues=tuple(sorted(wanted - served)),
        unknown_tasks=tuple(sorted(unknown)),
        queues=queues,
        broker_error=broker_error,
        last_ping=find_last_ping(schedules, now, held_up=ping.queue_name in pauses.held_up),
        clock_ahead_seconds=processes.clock_ahead_seconds,
        undelivered=read_undelivered(),
    )
