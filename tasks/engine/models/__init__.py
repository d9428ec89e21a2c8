"""What the database knows of background work: when it is due, what ran, who is there to run it."""

from tasks.engine.models.process import Process, ProcessKind
from tasks.engine.models.run import (
    MOST_CRASHES,
    UNFINISHED,
    State,
    TaskRun,
    TaskRunQuerySet,
    Trigger,
)
from tasks.engine.models.schedule import Schedule

__all__ = [
    "MOST_CRASHES",
    "UNFINISHED",
    "Process",
    "ProcessKind",
    "Schedule",
    "State",
    "TaskRun",
    "TaskRunQuerySet",
    "Trigger",
]
