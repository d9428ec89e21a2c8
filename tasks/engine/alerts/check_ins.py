"""The dead man's switch gets a check-in after each successful night."""

from collections.abc import Collection, Mapping

from tasks.engine.alerts.outbox import CHECK_IN, queue
from tasks.engine.alerts.state import Message, State
from tasks.engine.models import State as RunState
from tasks.engine.monitoring.schedules import ScheduleStatus
from tasks.engine.monitoring.status import Status


def succeeded_slots(status: Status, tasks: Collection[str]) -> dict[str, float]:
    """Return the latest slot of each of some tasks whose run has succeeded.

    Those are left out whose latest slot has not: earlier ones say nothing about last night. Of a
    task with several schedules, the one without a name counts.
    """
    return {
        schedule.row.task: schedule.row.last_slot.timestamp()
        for schedule in status.schedules
        if schedule.row.task in tasks
        and not schedule.row.name
        and schedule.row.last_slot
        and is_latest(schedule, status)
        and schedule.last_slot_run
        and schedule.last_slot_run.state == RunState.SUCCEEDED
    }


def is_latest(schedule: ScheduleStatus, status: Status) -> bool:
    """Say whether no slot has come since the last one that was claimed."""
    if not schedule.row.is_active or schedule.recurrence is None:
        return False
    return next(schedule.row.starts_until(status.now), None) == schedule.row.last_slot


def check_in(
    state: State, succeeded: Mapping[str, float], tasks: Collection[str], *, now: float
) -> None:
    """Queue a check-in if all of the tasks have succeeded since the last one."""
    if not tasks or any(
        succeeded.get(task, 0.0) <= state.checked_in.get(task, 0.0) for task in tasks
    ):
        return
    state.checked_in = dict(succeeded)
    night = f"check-in-{max(succeeded.values()):.0f}"
    message = Message(id=night, event="check-in", episode=night, at=now, since=now)
    queue(state, message, [CHECK_IN], now=now)
