"""What an operator must act on."""

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone

from tasks.models import ProcessKind, State
from tasks.status import ScheduleStatus, Status


def problems(status: Status) -> Iterator[str]:
    """Yield what is wrong, in a line each; nothing if all is well."""
    yield from problems_of_processes(status)
    yield from problems_of_broker(status)
    for runs in status.runs_in_hand:
        if runs.overdue:
            yield f"{runs.task}: runs due for more than a minute and not sent: {runs.overdue:,}."
    for schedule in status.schedules:
        if schedule.enabled:
            yield from problems_of_schedule(schedule)


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
    if status.pulse.stale:
        last_at = status.pulse.last_at
        yield f"The pulse is stale: last ping answered {shown(last_at) if last_at else 'never'}."


def problems_of_broker(status: Status) -> Iterator[str]:
    """Yield what is wrong with the broker and what it keeps."""
    if status.broker_error:
        yield f"The broker cannot be asked: {status.broker_error}"
    for queue in status.queues:
        if queue.dead:
            yield f"The queue {queue.name} has dead letters: {queue.dead:,}."


def problems_of_schedule(schedule: ScheduleStatus) -> Iterator[str]:
    """Yield what is wrong with a schedule that is switched on."""
    if schedule.fault:
        yield f"{schedule.task}: its schedule cannot be used: {schedule.fault}"
    if schedule.overdue_slot:
        yield f"{schedule.task}: nobody has claimed its slot of {shown(schedule.overdue_slot)}."
    run = schedule.last_run
    if run and run.state == State.FAILED:
        yield f"{schedule.task}: its last run ({run.run}) failed: {run.error}"


def shown(moment: datetime) -> str:
    """Return a moment as people of the site read it."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}"
