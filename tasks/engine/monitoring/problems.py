"""What an operator must act on."""

from collections.abc import Collection, Iterator
from datetime import datetime

from django.utils import timezone

from tasks.engine.database import CLOCK_TOLERANCE
from tasks.engine.models import ProcessKind, State
from tasks.engine.monitoring.status import WAIT_GRACE, ActiveRuns, ScheduleStatus, Status, Stuck

#: Failures that are told one by one.
MOST_TOLD = 3


def problems(status: Status) -> Iterator[str]:
    """Yield what is wrong, in a line each; nothing if all is well."""
    yield from problems_of_processes(status)
    yield from problems_of_clocks(status)
    yield from problems_of_broker(status)
    for task in status.unknown_tasks:
        yield (
            f"{task}: no live worker knows this task. Its runs wait for one, and fail after a"
            " while; deploy workers that do."
        )
    served = {name for process in status.processes for name in process.queues}
    for runs in status.active_runs:
        if runs.task not in status.unknown_tasks:
            yield from problems_of_waiting(runs, served)
        yield from problems_of_running(runs)
    for schedule in status.schedules:
        if schedule.enabled:
            yield from problems_of_schedule(schedule)
    yield from problems_of_failures(status)


def problems_of_processes(status: Status) -> Iterator[str]:
    """Yield what is wrong with processes, and with what they do together."""
    kinds = {process.kind for process in status.processes}
    if ProcessKind.SCHEDULER not in kinds:
        yield "No scheduler is alive."
    if ProcessKind.WORKER not in kinds:
        yield "No worker is alive."
    else:
        for name in status.unserved_queues:
            yield f"No live worker serves the queue {name}."
    for process in status.silent_processes:
        who = f"{process.kind}, process {process.pid} on {process.host}"
        if process.seen_at > status.now:
            yield f"The {who}, was heard of later than now: the database's clock was set back."
        else:
            at = f", at run {process.run}," if process.run else ","
            yield (
                f"The {who}{at} has not been heard of since {shown(process.seen_at)}. Look whether"
                " it is held up or cut off; its runs are taken from it before long."
            )
    if status.pulse.stale:
        last_at = status.pulse.last_at
        yield f"The pulse is stale: last ping answered {shown(last_at) if last_at else 'never'}."


def problems_of_broker(status: Status) -> Iterator[str]:
    """Yield what is wrong with the broker and what it keeps."""
    if status.broker_error:
        yield f"The broker cannot be used: {status.broker_error}"
    for queue in status.queues:
        if queue.dead:
            yield f"The queue {queue.name} has dead letters: {queue.dead:,}."
        age = queue.oldest_age_seconds
        if age is not None and age > WAIT_GRACE.total_seconds():
            yield f"The queue {queue.name} has a message that nobody has fetched for {age:,.0f} s."


def problems_of_clocks(status: Status) -> Iterator[str]:
    """Yield how this host's clock differs from the database's."""
    ahead = status.clock_ahead_seconds
    if abs(ahead) > CLOCK_TOLERANCE.total_seconds():
        yield (
            f"The clocks of this host and of the database are {abs(ahead):,.0f} s apart: here it is"
            f" {'later' if ahead > 0 else 'earlier'}. Set them right; nothing is swept or purged"
            " while they are more than an hour apart."
        )


def problems_of_waiting(runs: ActiveRuns, served: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the runs of a task that nobody is at.

    Args:
        runs: the task's.
        served: the queues that live workers serve.
    """
    if runs.overdue:
        yield f"{runs.task}: runs that are due and have not been sent: {runs.overdue:,}."
    queue = runs.waiting.queue
    if queue in served:
        why = f"are there enough of them for the queue {queue}?"
    else:
        why = f"none that is alive serves the queue {queue}."
    yield from told(runs.task, runs.waiting, f"has waited for a worker since {{since}}: {why}")


def problems_of_running(runs: ActiveRuns) -> Iterator[str]:
    """Yield what is wrong with the runs of a task that somebody is at."""
    for stuck, what in (
        (runs.stalled, "is running and has not got on since {since}. To end it: {stop}"),
        (runs.orphaned, "belongs to a process that is gone, since {since}: is a scheduler alive?"),
        (
            runs.stopping,
            "was asked to stop at {since}, and is still running. End its worker if need be.",
        ),
        (
            runs.interrupted,
            "was interrupted in its attempt of {since}, and is tried again: its page says by what.",
        ),
    ):
        yield from told(runs.task, stuck, what)


def told(task: str, stuck: Stuck, what: str) -> Iterator[str]:
    """Yield what is wrong with runs of one kind, if there are any.

    Args:
        task: theirs.
        stuck: which.
        what: is wrong, in words, around `{since}` and the command `{stop}`.
    """
    if stuck.run is not None and stuck.since is not None:
        stop = f"manage.py stop_run {stuck.run}"
        more = f" And {stuck.count - 1:,} more like it." if stuck.count > 1 else ""
        yield (f"{task}: run {stuck.run} {what.format(since=shown(stuck.since), stop=stop)}{more}")


def problems_of_failures(status: Status) -> Iterator[str]:
    """Yield the failures and errors that no operator has acknowledged."""
    failures = status.unacknowledged
    for run in failures.latest[:MOST_TOLD]:
        if run.state == State.FAILED:
            yield f"{run.task}: run {run.run} failed, and nobody has acknowledged it: {run.error}"
        else:
            counts = [f"{run.errors:,} {'error' if run.errors == 1 else 'errors'}", run.summary]
            yield (
                f"{run.task}: run {run.run} ended with errors, and nobody has acknowledged them:"
                f" {', '.join(filter(None, counts))}."
            )
    more = failures.count - min(MOST_TOLD, len(failures.latest))
    if more:
        yield f"And {more:,} more failures or errors that nobody has acknowledged."


def problems_of_schedule(schedule: ScheduleStatus) -> Iterator[str]:
    """Yield what is wrong with a schedule that is switched on."""
    if schedule.fault:
        yield f"{schedule.task}: its schedule cannot be used: {schedule.fault}"
    if schedule.overdue_slot:
        yield f"{schedule.task}: nobody has claimed its slot of {shown(schedule.overdue_slot)}."
    if schedule.held_until:
        yield (
            f"{schedule.task}: nothing of it is run before {shown(schedule.held_until)}, as the"
            " database's clock was set back. To have it run before then, set last_slot of its row"
            " in tasks_schedule to NULL; to count from now, pause it and resume it after that."
        )
    if schedule.unsuccessful_since:
        yield (
            f"{schedule.task}: none of its slots since {shown(schedule.unsuccessful_since)} has"
            " succeeded."
        )


def shown(moment: datetime) -> str:
    """Return a moment as people of the site read it."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}"
