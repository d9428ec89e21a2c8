"""What needs an operator's attention, in words; `docs/operations.md` explains each line."""

from collections.abc import Collection, Iterator

from tasks.engine.database import CLOCK_TOLERANCE
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


def problems(status: Status) -> Iterator[str]:
    """Yield what needs attention, in a line each; nothing if all is well."""
    yield from problems_of_processes(status)
    yield from problems_of_clocks(status)
    yield from problems_of_broker(status)
    for task in status.unknown_tasks:
        yield (
            f"{task}: no live worker knows this task. Deploy workers that do: its runs wait for"
            " one, and fail after some minutes."
        )
    served = {name for process in status.processes for name in process.queues}
    for runs in status.active_runs:
        if runs.task not in status.unknown_tasks:
            yield from problems_of_waiting(runs, served)
        yield from problems_of_running(runs)
    for schedule in status.schedules:
        if schedule.row.enabled:
            yield from problems_of_schedule(schedule)
    yield from problems_of_failures(status)


def problems_of_processes(status: Status) -> Iterator[str]:
    kinds = {process.kind for process in status.processes}
    if ProcessKind.SCHEDULER not in kinds:
        yield "No scheduler is alive. Start one: manage.py runscheduler"
    if ProcessKind.WORKER not in kinds:
        yield "No worker is alive. Start one: manage.py rundramatiq"
    else:
        for name in status.unserved_queues:
            yield f"No live worker serves the queue {name}. Start one that does."
    for process in status.silent_processes:
        yield problem_of_silent(process, in_future=process.row.seen_at > status.now)
    if status.last_ping.stale:
        last = moment(status.last_ping.answered_at)
        yield (
            f"No ping has been answered {f'since {last}' if last else 'yet'}. Solve the other"
            " problems first; if there are none, read the logs of schedulers and workers."
        )


def problem_of_silent(process: SilentProcess, *, in_future: bool) -> str:
    row = process.row
    name = f"The {row.kind} on {row.host}, process {row.pid},"
    if in_future:
        return f"{name} sent a heartbeat later than now: the database's clock was set back."
    more = f" Its runs, such as {process.run}, will soon be released." if process.run else ""
    return (
        f"{name} has sent no heartbeat since {moment(row.seen_at)}. Check whether it is frozen, or"
        f" cut off from the database.{more}"
    )


def problems_of_clocks(status: Status) -> Iterator[str]:
    ahead = status.clock_ahead_seconds
    if abs(ahead) > CLOCK_TOLERANCE.total_seconds():
        yield (
            f"This host's clock is {duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'}"
            " the database's. Synchronize both with a time server: tasks may refuse to run until"
            " then."
        )


def problems_of_broker(status: Status) -> Iterator[str]:
    if status.broker_error:
        yield f"The broker cannot be used: {status.broker_error}"
    for queue in status.queues:
        if queue.dead:
            letters = count(queue.dead, "dead letter")
            yield f"The queue {queue.name} has {letters} to retry or discard in the console."
        age = queue.oldest_age_seconds
        if age is not None and age > WAIT_GRACE.total_seconds():
            yield (
                f"The queue {queue.name} has a message that no worker has fetched for"
                f" {duration(age)}. Start more workers, or check whether they are stuck."
            )


def problems_of_waiting(runs: ActiveRuns, served: Collection[str]) -> Iterator[str]:
    if runs.overdue:
        yield (
            f"{runs.task}: {count(runs.overdue, 'run')} should have been sent by now. Check that a"
            " scheduler is alive and that the broker can be used."
        )
    waiting = runs.waiting
    advice = (
        f"Start more workers for the queue {waiting.queue}."
        if waiting.queue in served
        else f"No live worker serves the queue {waiting.queue}: start one."
    )
    if waiting.count:
        yield (
            f"{runs.task}: run {waiting.run} has waited for a worker since {moment(waiting.since)}."
            f" {advice}{and_more(waiting.count)}"
        )


def problems_of_running(runs: ActiveRuns) -> Iterator[str]:
    for stuck, problem in (
        (runs.stalled, STALLED),
        (runs.orphaned, ORPHANED),
        (runs.stopping, STOPPING),
        (runs.interrupted, INTERRUPTED),
    ):
        if stuck.count:
            text = problem.format(since=moment(stuck.since), run=stuck.run)
            yield f"{runs.task}: run {stuck.run} {text}{and_more(stuck.count)}"


def and_more(number: int) -> str:
    return f" And {number - 1:,} more like it." if number > 1 else ""


def problems_of_schedule(schedule: ScheduleStatus) -> Iterator[str]:
    task = schedule.row.task
    if schedule.fault:
        yield f"{task}: its schedule cannot be used: {schedule.fault}"
    if schedule.overdue_slot:
        yield (
            f"{task}: no scheduler has claimed its slot of {moment(schedule.overdue_slot)}. Check"
            " that one is alive, and that nothing locks the schedule's row."
        )
    if schedule.held_until:
        yield (
            f"{task}: it does not run before {moment(schedule.held_until)}, as the database's clock"
            " was set back. To run it before then, set last_slot of its row in tasks_schedule to"
            " NULL; to count from now, pause it and resume it after that."
        )
    if schedule.unsuccessful_since:
        yield (
            f"{task}: none of its slots since {moment(schedule.unsuccessful_since)} has succeeded."
            " See why its runs failed, or were skipped or cancelled."
        )


def problems_of_failures(status: Status) -> Iterator[str]:
    failures = status.unacknowledged
    for run in failures.latest[:MAX_FAILURES_NAMED]:
        if run.state == State.FAILED:
            yield f"{run.task}: run {run.pk} failed and is not acknowledged: {shown_error(run)}"
        else:
            errors = count(count_errors(run.result), "error")
            counts = f": {run.summary}" if run.summary else ""
            yield f"{run.task}: run {run.pk} ended with {errors}, not acknowledged{counts}."
    more = failures.count - MAX_FAILURES_NAMED
    if more > 0:
        yield f"And {count(more, 'more unacknowledged run')} failed or ended with errors."
