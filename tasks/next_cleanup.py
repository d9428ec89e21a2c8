"""When the cleanup runs next, for pages: the setting `TODO_NEXT_CLEANUP` names this."""

from datetime import datetime
from functools import lru_cache
from time import monotonic

from tasks.engine.models import Schedule
from tasks.engine.scheduler.defaults import default_schedules
from tasks.names import TaskName

#: How long a process remembers the schedule, so that not each page has to read it.
REMEMBERED_SECONDS = 10.0


def next_cleanup(after: datetime) -> datetime | None:
    """Return when the first cleanup after a moment is due; None while the schedule is paused."""
    schedules = remembered_schedules(int(monotonic() // REMEMBERED_SECONDS))
    return min(filter(None, (one.next_start(after) for one in schedules)), default=None)


@lru_cache(maxsize=1)
def remembered_schedules(_period: int) -> list[Schedule]:
    """Return the active schedules of the cleanup of everyone's todos; read anew in each period."""
    schedules = list(Schedule.objects.filter(task=TaskName.TODO_CLEANUP)) or [first_schedule()]
    return [one for one in schedules if one.is_active and "user_id" not in one.arguments]


def first_schedule() -> Schedule:
    """Return the schedule that a scheduler will write when it starts for the first time."""
    (default,) = (one for one in default_schedules() if one.task == TaskName.TODO_CLEANUP)
    return Schedule(**default.as_fields())
