"""What a schedule will do, in words, and when; also before it is saved."""

import json
from datetime import datetime

from tasks.engine.models import Overlap, Schedule
from tasks.engine.words import duration, moment

#: Runs of a schedule that are shown in advance.
NEXT_STARTS = 5


def next_starts(schedule: Schedule, now: datetime, count: int = NEXT_STARTS) -> list[datetime]:
    """Return when a schedule's next runs start; none if its times make no sense."""
    starts: list[datetime] = []
    try:
        while len(starts) < count and (start := schedule.next_start(starts[-1] if starts else now)):
            starts.append(start)
    except ValueError:
        return []
    return starts


def in_words(schedule: Schedule, *, with_arguments: bool) -> list[str]:
    """Say in sentences what a schedule will do.

    Args:
        with_arguments: its arguments may be told.

    Raises:
        ValueError: its times make no sense; says why.
    """
    what = schedule.task or "The task"
    if schedule.arguments:
        given = (f"{name}={json.dumps(value)}" for name, value in schedule.arguments.items())
        what += f" with {', '.join(given)}" if with_arguments else " with arguments"
    said = [f"{what}: {schedule.recurrence.describe()}."]
    if schedule.jitter_seconds:
        latest = duration(schedule.jitter_seconds)
        said.append(f"Each run starts up to {latest} later, at random, and before the next slot.")
    if schedule.overlap == Overlap.QUEUE:
        said.append(
            "If the run before has not ended, the next one waits for it; one at the most waits, and"
            " further slots are skipped."
        )
    else:
        said.append("If the run before has not ended, the slot is skipped.")
    catch_up = duration(schedule.catch_up_seconds) if schedule.catch_up_seconds else ""
    said.append(
        f"A slot that was missed is still run up to {catch_up} after its time."
        if catch_up
        else "A slot that was missed is not run later."
    )
    return said


def pause_in_words(schedule: Schedule) -> str:
    """Say since when a schedule is paused, by whom and why; empty if it is active."""
    if schedule.is_active:
        return ""
    since = f" since {moment(schedule.paused_at)}" if schedule.paused_at else ""
    by = f" by {schedule.paused_by}" if schedule.paused_by else ""
    note = f": {schedule.pause_note}" if schedule.pause_note else ""
    return f"paused{since}{by}{note}"
