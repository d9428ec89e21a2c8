"""What needs an operator's attention, in words; `docs/operations.md` explains each line."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tasks.engine.alerts.outbox import CHECK_IN, failing
from tasks.engine.database import CLOCK_TOLERANCE
from tasks.engine.heartbeat import interval_seconds
from tasks.engine.models import ProcessKind, State
from tasks.engine.models.outcome import count_errors
from tasks.engine.monitoring.active_runs import WAIT_GRACE, ActiveRuns
from tasks.engine.monitoring.failures import shown_error
from tasks.engine.monitoring.processes import SilentProcess
from tasks.engine.monitoring.schedules import ScheduleStatus
from tasks.engine.monitoring.status import Status
from tasks.engine.words import count, duration, moment

#: Failures that get a line each; the others are counted.
MAX_FAILURES_NAMED = 3

#: Processes went silent at once that did so within this and the interval of heartbeats.
AT_ONCE_SECONDS = 5.0

#: Processes with the same problem that get a line each, of silent ones those that were heard of
#: last; the others are counted.
MAX_PROCESSES_NAMED = 20

STALLED = (
    "is running and has not progressed since {since}. Stop it with manage.py stop_run {run}, or end"
    " its worker."
)
ORPHANED = (
    "has not progressed since {since}: its process is gone, and no scheduler has released it. Check"
    " that one is alive."
)
STOPPING = "was asked to stop at {since} and is still running. End its worker if you cannot wait."
INTERRUPTED = "was interrupted after {since} and will be retried. Its page shows the error."


@dataclass(frozen=True)
class Problem:
    """A line of the verdict.

    Attributes:
        kind: what is wrong, and with what; the same for as long as that does not change, although
            the line names other runs and moments.
        text: the line, without what it quotes.
        quoted: what it quotes of an error at its end; it may hold people's own text.
    """

    kind: str
    text: str
    quoted: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.quoted}" if self.quoted else self.text


def problems(status: Status) -> Iterator[str]:
    """Yield what needs attention, in a line each; nothing if all is well."""
    return map(str, find_problems(status))


def find_problems(status: Status) -> Iterator[Problem]:
    """Yield what needs attention; nothing if all is well."""
    for found in problems_by_kind(status).values():
        yield from found


def problems_by_kind(status: Status) -> Mapping[str, Sequence[Problem]]:
    """Return what needs attention by what it is about, in the order in which it is told."""
    kinds = {
        "process": problems_of_processes,
        "clock": problems_of_clocks,
        "broker": problems_of_broker,
        "run": problems_of_runs,
        "schedule": problems_of_schedules,
        "failure": problems_of_failures,
        "alert": problems_of_alerts,
    }
    return {kind: list(found(status)) for kind, found in kinds.items()}


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
        text = f"And {count(more, 'more process is', 'more processes are')} silent."
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
        text = f"And {count(more, 'more process does', 'more processes do')} not use this broker."
        yield Problem("more absent", text)


def problems_of_clocks(status: Status) -> Iterator[Problem]:
    ahead = status.clock_ahead_seconds
    if abs(ahead) > CLOCK_TOLERANCE.total_seconds():
        yield Problem(
            "clocks",
            f"This host's clock is {duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'}"
            " the database's. Synchronize both with a time server: tasks may refuse to run until"
            " then.",
        )


def problems_of_broker(status: Status) -> Iterator[Problem]:
    if status.broker_error:
        yield Problem("broker", f"The broker cannot be used: {status.broker_error}")
    for queue in status.queues:
        if queue.dead:
            letters = count(queue.dead, "dead letter")
            yield Problem(
                f"dead letters of {queue.name}",
                f"The queue {queue.name} has {letters} to retry or discard in the console.",
            )
        age = queue.oldest_age_seconds
        if age is not None and age > WAIT_GRACE.total_seconds():
            yield Problem(
                f"waiting queue {queue.name}",
                f"The queue {queue.name} has a message that no worker has fetched for"
                f" {duration(age)}. Start more workers, or check whether they are stuck.",
            )


def problems_of_runs(status: Status) -> Iterator[Problem]:
    if status.read_only:
        return
    for task in status.unknown_tasks:
        yield Problem(
            f"unknown task {task}",
            f"{task}: no live worker knows this task. Deploy workers that do: its runs wait for"
            " one, and fail after some minutes.",
        )
    served = {name for process in status.processes for name in process.queues}
    for runs in status.active_runs:
        if runs.task not in status.unknown_tasks:
            yield from problems_of_waiting(runs, served)
        yield from problems_of_running(runs)


def problems_of_waiting(runs: ActiveRuns, served: Collection[str]) -> Iterator[Problem]:
    if runs.overdue:
        yield Problem(
            f"{runs.task} not sent",
            f"{runs.task}: {count(runs.overdue, 'run')} should have been sent by now. Check that a"
            " scheduler is alive and that the broker can be used.",
        )
    waiting = runs.waiting
    advice = (
        f"Start more workers for the queue {waiting.queue}."
        if waiting.queue in served
        else f"No live worker serves the queue {waiting.queue}: start one."
    )
    if waiting.count:
        yield Problem(
            f"{runs.task} not started",
            f"{runs.task}: run {waiting.run} has waited for a worker since {moment(waiting.since)}."
            f" {advice}{and_more(waiting.count)}",
        )


def problems_of_running(runs: ActiveRuns) -> Iterator[Problem]:
    for kind, stuck, problem in (
        ("stalled", runs.stalled, STALLED),
        ("orphaned", runs.orphaned, ORPHANED),
        ("not stopping", runs.stopping, STOPPING),
        ("interrupted", runs.interrupted, INTERRUPTED),
    ):
        if stuck.count:
            text = problem.format(since=moment(stuck.since), run=stuck.run)
            line = f"{runs.task}: run {stuck.run} {text}{and_more(stuck.count)}"
            yield Problem(f"{runs.task} {kind}", line)


def and_more(number: int) -> str:
    return f" And {number - 1:,} more like it." if number > 1 else ""


def problems_of_schedules(status: Status) -> Iterator[Problem]:
    for schedule in status.schedules:
        if schedule.row.enabled:
            yield from problems_of_schedule(schedule, read_only=status.read_only)


def problems_of_schedule(schedule: ScheduleStatus, *, read_only: bool) -> Iterator[Problem]:
    task = schedule.row.task
    if schedule.fault:
        text = f"{task}: its schedule cannot be used: {schedule.fault}"
        yield Problem(f"{task} unusable", text)
    if schedule.overdue_slot and not read_only:
        yield Problem(
            f"{task} not claimed",
            f"{task}: no scheduler has claimed its slot of {moment(schedule.overdue_slot)}. Check"
            " that one is alive, and that nothing locks the schedule's row.",
        )
    if schedule.held_until:
        yield Problem(
            f"{task} held",
            f"{task}: it does not run before {moment(schedule.held_until)}, as the database's clock"
            " was set back. To run it before then, set last_slot of its row in tasks_schedule to"
            " NULL; to count from now, pause it and resume it after that.",
        )
    if schedule.unsuccessful_since:
        yield Problem(
            f"{task} without success",
            f"{task}: none of its slots since {moment(schedule.unsuccessful_since)} has succeeded."
            " See why its runs failed, or were skipped or cancelled.",
        )


def problems_of_failures(status: Status) -> Iterator[Problem]:
    failures = status.unacknowledged
    for run in failures.latest[:MAX_FAILURES_NAMED]:
        if run.state == State.FAILED:
            text = f"{run.task}: run {run.pk} failed and is not acknowledged"
            yield Problem(f"run {run.pk} failed", text, shown_error(run))
        else:
            errors = count(count_errors(run.result), "error")
            counts = f": {run.summary}" if run.summary else ""
            text = f"{run.task}: run {run.pk} ended with {errors}, not acknowledged{counts}."
            yield Problem(f"run {run.pk} with errors", text)
    more = failures.count - MAX_FAILURES_NAMED
    if more > 0:
        text = f"And {count(more, 'more unacknowledged run')} failed or ended with errors."
        yield Problem("more failures", text)


def problems_of_alerts(status: Status) -> Iterator[Problem]:
    for each in status.undelivered:
        check_in = each.kind == CHECK_IN
        what = "A check-in at the dead man's switch" if check_in else f"An alert by {each.kind}"
        yield Problem(
            failing(each.channel),
            f"{what} has not been delivered since {moment(each.since)}: {each.reason}. Try"
            " manage.py send_test_alert.",
        )
