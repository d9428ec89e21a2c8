"""Metrics of how things stand: the verdict, processes, schedules, unfinished runs, queues."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from dramatiq.broker import get_broker

from tasks.engine.broker.queues import QueueStatus
from tasks.engine.metrics.families import AnyMetric, Labels, gauge, gauges
from tasks.engine.metrics.runs import names
from tasks.engine.models import Process, ProcessKind
from tasks.engine.monitoring.active_runs import ActiveRuns
from tasks.engine.monitoring.clock import seconds_since
from tasks.engine.monitoring.problems import problems_by_kind
from tasks.engine.monitoring.schedules import ScheduleStatus
from tasks.engine.monitoring.status import Status

TASK = ("task",)

#: The name is empty for a task's only schedule: Prometheus leaves such a label out.
SCHEDULE = ("task", "schedule")


def status_metrics(status: Status) -> Iterator[AnyMetric]:
    """Yield what the database says of how things stand."""
    found = problems_by_kind(status)
    yield gauge(
        "verdict",
        "1 if all is well, 0 if anything needs attention: as tasks_status --check says.",
        not any(found.values()),
    )
    yield gauges(
        "problems",
        "What needs attention: lines of the verdict.",
        ("kind",),
        (((kind,), len(lines)) for kind, lines in found.items()),
    )
    yield gauge(
        "runs_unacknowledged",
        "Runs that failed or ended with errors, and that nobody has acknowledged.",
        status.unacknowledged.count,
    )
    yield from process_metrics(status)
    paused = {queue.name for queue in status.pauses.paused}
    yield gauges(
        "queue_paused",
        "1 if a queue is paused: workers take nothing from it.",
        ("queue",),
        (((name,), name in paused) for name in status.queue_names),
    )
    yield from schedule_metrics(status.schedules, status.now)
    yield from unfinished_run_metrics(status.active_runs)
    yield gauge(
        "clock_ahead_seconds",
        "By how much the clock of the web server's host is ahead of the database's.",
        status.clock_ahead_seconds,
    )


def process_metrics(status: Status) -> Iterator[AnyMetric]:
    counted = dict.fromkeys(ProcessKind.values, 0)
    for process in status.processes:
        counted[process.kind] += 1
    yield gauges(
        "processes",
        "Live processes: those with a heartbeat within the liveness.",
        ("kind",),
        (((kind,), number) for kind, number in counted.items()),
    )
    silent = (each.row for each in status.silent_processes if not each.gone)
    everyone = [*status.processes, *silent]
    yield gauges(
        "process_heartbeat_age_seconds",
        "How long ago a process last sent a heartbeat: of those that are not gone, the longest.",
        ("kind",),
        oldest_heartbeats(everyone, status.now),
    )


def oldest_heartbeats(
    processes: Iterable[Process], now: datetime
) -> Iterator[tuple[Labels, float]]:
    ages: dict[str, float] = {}
    for process in processes:
        age = seconds_since(process.seen_at, now)
        ages[process.kind] = max(age, ages.get(process.kind, 0))
    for kind, age in ages.items():
        yield (kind,), age


def schedule_metrics(schedules: Sequence[ScheduleStatus], now: datetime) -> Iterator[AnyMetric]:
    yield gauges(
        "schedule_enabled",
        "1 if a schedule is enabled, 0 if it is paused.",
        SCHEDULE,
        (((one.row.task, one.row.name), one.row.is_active) for one in schedules),
    )
    yield gauges(
        "schedule_last_success_age_seconds",
        "How long ago the latest slot was whose run succeeded; since the schedule was last changed"
        " or resumed, if that is later.",
        SCHEDULE,
        (((one.row.task, one.row.name), last_success_age(one, now)) for one in schedules),
    )


def last_success_age(schedule: ScheduleStatus, now: datetime) -> float:
    since = schedule.row.effective_since
    return seconds_since(max(since, schedule.last_success_slot or since), now)


def unfinished_run_metrics(active_runs: Sequence[ActiveRuns]) -> Iterator[AnyMetric]:
    known = sorted(get_broker().actors)
    name_of = names({runs.task for runs in active_runs}, known)
    states = ("pending", "queued", "running")
    numbers: dict[Labels, float] = {(task, state): 0 for task in known for state in states}
    overdue: dict[Labels, float] = {(task,): 0 for task in known}
    for runs in active_runs:
        task = name_of(runs.task)
        for state in states:
            numbers[task, state] = numbers.get((task, state), 0) + getattr(runs, state)
        overdue[task,] = overdue.get((task,), 0) + runs.overdue
    yield gauges(
        "unfinished_runs",
        "Runs that have not ended. The pending ones are the outbox: they wait to be published.",
        ("task", "state"),
        numbers.items(),
    )
    yield gauges(
        "overdue_runs",
        "Pending runs that should have been published by now.",
        TASK,
        overdue.items(),
    )


def queue_metrics(queues: Sequence[QueueStatus]) -> Iterator[AnyMetric]:
    """Yield what the broker says."""
    states = ("waiting", "running", "delayed")
    yield gauges(
        "queue_messages",
        "Messages in a queue: those that wait, those that a worker has fetched, and those that are"
        " retried later.",
        ("queue", "state"),
        (((one.name, state), getattr(one, state)) for one in queues for state in states),
    )
    yield gauges(
        "queue_oldest_message_age_seconds",
        "How long the first message has waited that no worker has fetched; 0 if none waits.",
        ("queue",),
        (((one.name,), one.oldest_age_seconds or 0) for one in queues),
    )
    yield gauges(
        "queue_dead_letters",
        "Messages that were given up, to be retried or discarded in the console.",
        ("queue",),
        (((one.name,), one.dead) for one in queues),
    )
