"""The status as `manage.py tasks_status` prints it: JSON for machines, tables for people."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime

from django.conf import settings

from tasks.engine.models import Process, TaskRun
from tasks.engine.models.outcome import count_errors
from tasks.engine.monitoring.clock import seconds_since
from tasks.engine.monitoring.failures import Failures, shown_error
from tasks.engine.monitoring.schedules import ScheduleStatus
from tasks.engine.monitoring.status import Status
from tasks.engine.words import ago, moment, printable

type Row = dict[str, object]


def as_json(status: Status, problems: Sequence[str]) -> str:
    """Return everything in one line, moments in ISO 8601.

    Monitoring relies on the keys: they outlast the names in the code.
    """
    ping = status.last_ping
    content: Row = {
        "now": status.now,
        "schedules": [schedule_as_json(schedule) for schedule in status.schedules],
        "runs_in_hand": [asdict(runs) for runs in status.active_runs],
        "failures": failures_as_json(status.failures),
        "processes": [process_as_json(process) for process in status.processes],
        "unserved_queues": status.unserved_queues,
        "queues": [asdict(queue) for queue in status.queues],
        "paused_queues": [asdict(queue) for queue in status.pauses.paused],
        "broker_error": status.broker_error,
        "pulse": {
            "last_at": ping.answered_at,
            "age_seconds": ping.age_seconds,
            "stale": ping.stale,
        },
        "unacknowledged": failures_as_json(status.unacknowledged),
        "silent_processes": [
            process_as_json(process.row, process.run) for process in status.silent_processes
        ],
        "absent_processes": [process_as_json(process) for process in status.absent_processes],
        "unknown_tasks": status.unknown_tasks,
        "clock_ahead_seconds": status.clock_ahead_seconds,
        "problems": problems,
    }
    return json.dumps(content, default=datetime.isoformat)


def schedule_as_json(schedule: ScheduleStatus) -> Row:
    row = schedule.row
    return {
        "id": row.pk,
        "task": row.task,
        "enabled": row.is_active,
        "times": schedule.times,
        "timezone": row.timezone or settings.TIME_ZONE,
        "fault": schedule.fault,
        "last_slot": row.last_slot,
        "last_slot_state": schedule.last_slot_run.state if schedule.last_slot_run else "",
        "last_run": ended_run_as_json(schedule.last_run) if schedule.last_run else None,
        "next_slot": schedule.next_slot,
        "overdue_slot": schedule.overdue_slot,
        "last_success_slot": schedule.last_success_slot,
        "unsuccessful_since": schedule.unsuccessful_since,
        "held_until": schedule.held_until,
        "name": row.name,
    }


def failures_as_json(failures: Failures) -> Row:
    return {"count": failures.count, "latest": [ended_run_as_json(run) for run in failures.latest]}


def ended_run_as_json(run: TaskRun) -> Row:
    return {
        "run": run.pk,
        "task": run.task,
        "state": run.state,
        "finished_at": run.finished_at,
        "summary": run.summary,
        "error": shown_error(run),
        "errors": count_errors(run.result),
    }


def process_as_json(process: Process, run: int | None = None) -> Row:
    names = (
        *("kind", "host", "pid", "queues", "started_at", "seen_at"),
        *("leave_requested_at", "leaving_since"),
    )
    return {**{name: getattr(process, name) for name in names}, "run": run}


def as_text(status: Status, problems: Sequence[str]) -> Iterator[str]:
    yield f"Background work at {moment(status.now)}"
    yield from table(
        "Schedules",
        ("task", "times", "last slot", "last run", "next slot"),
        [schedule_cells(schedule, status.now) for schedule in status.schedules],
    )
    yield from table(
        "Active runs",
        ("task", "pending", "queued", "running", "oldest", "run"),
        [
            (r.task, r.pending, r.queued, r.running, ago(r.oldest_age_seconds), r.oldest_run)
            for r in status.active_runs
        ],
    )
    yield from table(
        f"Failures of the last day: {status.failures.count:,}",
        ("run", "task", "failed", "acknowledged", "error"),
        [
            (r.pk, r.task, moment(r.finished_at), moment(r.acknowledged_at) or "no", shown_error(r))
            for r in status.failures.latest
        ],
    )
    paused = {queue.name: moment(queue.since) for queue in status.pauses.paused}
    yield from table(
        f"Queues: {status.broker_error}" if status.broker_error else "Queues",
        ("queue", "waiting", "oldest", "running", "delayed", "dead", "paused since"),
        [
            (
                *(q.name, q.waiting, ago(q.oldest_age_seconds), q.running, q.delayed, q.dead),
                paused.get(q.name, "-"),
            )
            for q in status.queues
        ],
    )
    yield from table(
        "Processes",
        ("kind", "host", "pid", "queues", "started", "last heartbeat"),
        [
            (p.kind, p.host, p.pid, ", ".join(p.queues), moment(p.started_at), moment(p.seen_at))
            for p in status.processes
        ],
    )
    yield ""
    yield f"Last ping answered: {ago(status.last_ping.age_seconds) or '-'}"
    yield from ("", "Needs attention", *(f"  {problem}" for problem in problems or ["nothing"]))


def schedule_cells(schedule: ScheduleStatus, now: datetime) -> Sequence[str]:
    row, last, of_slot = schedule.row, schedule.last_run, schedule.last_slot_run
    ended_at = last.finished_at if last else None
    return (
        str(row),
        schedule.times or schedule.fault,
        f"{moment(row.last_slot)} {of_slot.state if of_slot else ''}",
        f"{last.state} {ago(seconds_since(ended_at, now))}" if last and ended_at else "",
        moment(schedule.next_slot) if row.is_active else "paused",
    )


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a table under its title."""
    yield ""
    yield printable(title)
    if not rows:
        yield "  none"
        return
    cells = [header, *([printable(str(cell)) or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield f"  {'  '.join(padded)}".rstrip()
