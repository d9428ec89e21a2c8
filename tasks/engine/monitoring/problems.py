"""What needs an operator's attention, in words; `docs/operations.md` explains each line."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from dramatiq.broker import get_broker

from tasks.engine.alerts.outbox import CHECK_IN, failing
from tasks.engine.database import CLOCK_TOLERANCE
from tasks.engine.models import State
from tasks.engine.models.outcome import count_errors
from tasks.engine.monitoring.active_runs import WAIT_GRACE, ActiveRuns
from tasks.engine.monitoring.failures import shown_error
from tasks.engine.monitoring.pauses import Pauses, pause_in_words
from tasks.engine.monitoring.problem import Problem
from tasks.engine.monitoring.process_problems import problems_of_processes
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

#: In the singular and the plural.
IGNORED_BY = (
    "worker of an earlier version still takes",
    "workers of an earlier version still take",
)


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
        "queue": problems_of_paused_queues,
        "run": problems_of_runs,
        "schedule": problems_of_schedules,
        "failure": problems_of_failures,
        "alert": problems_of_alerts,
    }
    return {kind: list(found(status)) for kind, found in kinds.items()}


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
        held_up = queue.name in status.pauses.held_up
        if age is not None and not held_up and age > WAIT_GRACE.total_seconds():
            yield Problem(
                f"waiting queue {queue.name}",
                f"The queue {queue.name} has a message that no worker has fetched for"
                f" {duration(age)}. Start more workers, or check whether they are stuck.",
            )


def problems_of_paused_queues(status: Status) -> Iterator[Problem]:
    for paused in status.pauses.paused:
        text = pause_in_words(paused.name, paused.since, paused.by, paused.note)
        text += f" {count(paused.waiting, 'run waits', 'runs wait')}."
        if paused.ignored_by:
            text += f" {count(paused.ignored_by, *IGNORED_BY)} from it."
        yield Problem(f"paused queue {paused.name}", text)


def problems_of_runs(status: Status) -> Iterator[Problem]:
    if status.read_only:
        return
    for task in status.unknown_tasks:
        yield Problem(
            f"unknown task {task}",
            f"{task}: no live worker knows this task. Deploy workers that do: its runs wait for"
            " one, and fail after some minutes.",
        )
    for runs in status.active_runs:
        if runs.task not in status.unknown_tasks:
            yield from problems_of_waiting(runs, status.served_queues)
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
        if schedule.row.is_active:
            yield from problems_of_schedule(schedule, read_only=status.read_only)
            yield from problem_of_success(schedule, status.pauses)


def problems_of_schedule(schedule: ScheduleStatus, *, read_only: bool) -> Iterator[Problem]:
    task = str(schedule.row)
    if schedule.fault:
        text = f"{task}: its schedule cannot be used: {schedule.fault}"
        yield Problem(f"{task} unusable", text)
    if schedule.overdue_slot and not read_only:
        yield Problem(
            f"{task} not claimed",
            f"{task}: no scheduler has claimed its slot of {moment(schedule.overdue_slot)}. Check"
            " that one is alive, and that nothing locks the schedule's row.",
        )
    last = schedule.last_slot_run
    if schedule.is_over and last and last.state == State.SKIPPED:
        yield Problem(
            f"{task} missed",
            f"{task}: it was to run once, at {moment(schedule.row.once_at)}, and was skipped. Give"
            " it another moment, or delete it.",
        )
    if schedule.held_until:
        yield Problem(
            f"{task} held",
            f"{task}: it does not run before {moment(schedule.held_until)}, as the database's clock"
            " was set back. To run it before then, set last_slot of its row in tasks_schedule to"
            " NULL; to count from now, pause it and resume it after that.",
        )


def problem_of_success(schedule: ScheduleStatus, pauses: Pauses) -> Iterator[Problem]:
    """Say so if none of its last slots has succeeded, unless a pause of its queue explains that."""
    task, since = str(schedule.row), schedule.unsuccessful_since
    actor = get_broker().actors.get(schedule.row.task)
    queue = actor.queue_name if actor else ""
    if since and not pauses.explain(queue, first=since, latest=schedule.row.last_slot):
        yield Problem(
            f"{task} without success",
            f"{task}: none of its slots since {moment(since)} has succeeded."
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
        text = f"{count(more, 'more unacknowledged run')} failed or ended with errors."
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
