"""What the database knows of background work: when it is due, what ran, who is there to run it."""

from tasks.models.process import Process, ProcessKind
from tasks.models.run import MOST_CRASHES, UNFINISHED, State, TaskRun, TaskRunQuerySet, Trigger
from tasks.models.schedule import Schedule

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
