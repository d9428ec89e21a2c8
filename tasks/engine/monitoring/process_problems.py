"""What needs attention of processes: who is missing, silent, or cut off from the broker."""

from collections.abc import Iterator
from datetime import timedelta

from tasks.engine.heartbeat import interval_seconds
from tasks.engine.models import ProcessKind
from tasks.engine.monitoring.problem import Problem
from tasks.engine.monitoring.processes import SilentProcess
from tasks.engine.monitoring.status import Status
from tasks.engine.words import count, moment

#: Processes went silent at once that did so within this and the interval of heartbeats.
AT_ONCE_SECONDS = 5.0

#: Processes with the same problem that get a line each, of silent ones those that were heard of
#: last; the others are counted.
MAX_PROCESSES_NAMED = 20


def problems_of_processes(status: Status) -> Iterator[Problem]:
    if status.read_only:
        # No process can write a heartbeat, and none can do anything about its runs.
        yield Problem(
            "database read-only",
            "The database is read-only: nothing can be saved, and no task runs. Find out why, and"
            " have it accept writes.",
        )
        return
    kinds = {process.kind for process in status.processes}
    if ProcessKind.SCHEDULER not in kinds:
        yield Problem("no scheduler", "No scheduler is alive. Start one: manage.py runscheduler")
    if ProcessKind.WORKER not in kinds:
        yield Problem("no worker", "No worker is alive. Start one: manage.py rundramatiq")
    else:
        for name in status.unserved_queues:
            yield Problem(
                f"unserved queue {name}",
                f"No live worker serves the queue {name}. Start one that does.",
            )
    yield from problem_of_all(status)
    yield from problems_of_silent(status)
    yield from problems_of_absent(status)
    if status.last_ping.stale:
        last = moment(status.last_ping.answered_at)
        yield Problem(
            "no ping",
            f"No ping has been answered {f'since {last}' if last else 'yet'}. Solve the other"
            " problems first; if there are none, read the logs of schedulers and workers.",
        )


def problem_of_all(status: Status) -> Iterator[Problem]:
    """Say so if all processes went silent at once: a database cannot be asked if its disk is full.

    Each had sent its last heartbeat within the interval of heartbeats.
    """
    silent = [each.row.seen_at for each in status.silent_processes if not each.gone]
    at_once = timedelta(seconds=interval_seconds() + AT_ONCE_SECONDS)
    if not status.processes and len(silent) > 1 and max(silent) - min(silent) <= at_once:
        yield Problem(
            "all silent",
            f"All processes went silent at about the same time, {moment(max(silent))}. If they"
            " still run, the database may accept no writes: is its disk full?",
        )


def problems_of_silent(status: Status) -> Iterator[Problem]:
    silent = sorted(status.silent_processes, key=lambda each: each.row.seen_at, reverse=True)
    for process in silent[:MAX_PROCESSES_NAMED]:
        row = process.row
        # Each silence of each process is told, and is no older than that.
        kind = f"silent {row.kind} {row.host} {row.pid} {row.seen_at.isoformat()}"
        yield Problem(kind, line_of_silent(process, in_future=row.seen_at > status.now))
    if more := len(silent[MAX_PROCESSES_NAMED:]):
        text = f"{count(more, 'more process is', 'more processes are')} silent."
        yield Problem("more silent", text)


def line_of_silent(process: SilentProcess, *, in_future: bool) -> str:
    row = process.row
    name = f"The {row.kind} on {row.host}, process {row.pid},"
    if in_future:
        return f"{name} sent a heartbeat later than now: the database's clock was set back."
    if process.gone:
        return (
            f"{name} went silent at {moment(row.seen_at)} and has not been replaced: it was killed,"
            f" or is frozen or cut off. Start a {row.kind} in its place; its runs were released."
        )
    more = f" Its runs, such as {process.run}, will soon be released." if process.run else ""
    return (
        f"{name} has sent no heartbeat since {moment(row.seen_at)}. Check whether it is frozen, or"
        f" cut off from the database.{more}"
    )


def problems_of_absent(status: Status) -> Iterator[Problem]:
    if status.broker_unused:
        yield Problem(
            "broker unused",
            "No process uses this broker: whoever says so is set up to use another one than they.",
        )
    absent = status.absent_processes
    for row in absent[:MAX_PROCESSES_NAMED]:
        yield Problem(
            f"absent {row.kind} {row.host} {row.pid} {row.started_at.isoformat()}",
            f"The {row.kind} on {row.host}, process {row.pid}, does not use this broker: it is cut"
            " off from it, or set up to use another one.",
        )
    if more := len(absent[MAX_PROCESSES_NAMED:]):
        text = f"{count(more, 'more process does', 'more processes do')} not use this broker."
        yield Problem("more absent", text)
