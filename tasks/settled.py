"""Until when all that cleanups have taken is committed, and so can be told."""

from datetime import datetime

from django.db.models import Min

from tasks.engine.database import database_now
from tasks.engine.models import UNFINISHED, TaskRun
from tasks.names import TaskName


def settled_until() -> datetime:
    """Return the latest moment after which alone a cleanup may still take todos.

    A cleanup stamps todos with the time of a statement and commits later. So what an unfinished one
    takes lies between the creation of its run and a moment that is not known yet. The clock is read
    first: a run that is created between the two statements takes nothing before that.
    """
    now = database_now()
    cleanups = TaskRun.objects.filter(task=TaskName.TODO_CLEANUP, state__in=UNFINISHED)
    first: datetime | None = cleanups.aggregate(first=Min("created_at"))["first"]
    return now if first is None else min(now, first)
