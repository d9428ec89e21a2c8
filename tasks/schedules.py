"""When Tidy's tasks run at first; from then on staff change it in the admin.

The engine brings the schedules of its own tasks (`tasks/engine/scheduler/defaults.py`).
"""

from tasks.engine.scheduler.defaults import DefaultSchedule
from tasks.names import TaskName

SCHEDULES = [
    DefaultSchedule(task=TaskName.TODO_CLEANUP, crontab="0 2 * * *"),
    DefaultSchedule(task=TaskName.TODO_PURGE, crontab="0 3 * * *"),
    DefaultSchedule(task=TaskName.SESSIONS_CLEAR, crontab="0 4 * * *"),
    DefaultSchedule(task=TaskName.REQUESTS_PRUNE, crontab="15 4 * * *"),
    DefaultSchedule(task=TaskName.TODO_RECEIPTS, crontab="0 6 * * *"),
]
