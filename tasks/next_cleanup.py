"""When the cleanup runs next, for pages: the setting `TODO_NEXT_CLEANUP` names this."""

from datetime import datetime
from functools import lru_cache
from time import monotonic

from tasks.engine.models import Schedule
from tasks.engine.recurrence import Recurrence
from tasks.engine.scheduler.defaults import default_schedules
from tasks.names import TaskName

#: How long a process remembers the schedule, so that not each page has to read it.
REMEMBERED_SECONDS = 10.0


def next_cleanup(after: datetime) -> datetime | None:
    """Return when the first cleanup after a moment is due; None while the schedule is paused."""
    recurrence = remembered_recurrence(int(monotonic() // REMEMBERED_SECONDS))
    return next(recurrence.after(after), None) if recurrence else None


@lru_cache(maxsize=1)
def remembered_recurrence(_period: int) -> Recurrence | None:
    """Return the times of the cleanup, None while they are paused; read anew in each period."""
    schedule = Schedule.objects.filter(task=TaskName.TODO_CLEANUP).first() or first_schedule()
    return schedule.recurrence if schedule.enabled else None


def first_schedule() -> Schedule:
    """Return the schedule that a scheduler will write when it starts for the first time."""
    (default,) = (one for one in default_schedules() if one.task == TaskName.TODO_CLEANUP)
    return Schedule(**default.as_fields())
