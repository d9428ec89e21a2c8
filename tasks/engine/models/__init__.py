"""The tables: schedules, runs, attempts, what runs add up to, queues, processes, alerts."""

from tasks.engine.models.alert_state import AlertState
from tasks.engine.models.attempt import Attempt, Outcome
from tasks.engine.models.outcome import count_errors
from tasks.engine.models.process import Process, ProcessKind
from tasks.engine.models.queue import Queue
from tasks.engine.models.run import MOST_CRASHES, TaskRun
from tasks.engine.models.run_count import Measure, RunCount
from tasks.engine.models.run_queryset import TaskRunQuerySet
from tasks.engine.models.run_total import RunTotal, Tally
from tasks.engine.models.schedule import Overlap, Schedule, ScheduleQuerySet
from tasks.engine.models.states import UNFINISHED, State, Trigger

__all__ = [
    "MOST_CRASHES",
    "UNFINISHED",
    "AlertState",
    "Attempt",
    "Measure",
    "Outcome",
    "Overlap",
    "Process",
    "ProcessKind",
    "Queue",
    "RunCount",
    "RunTotal",
    "Schedule",
    "ScheduleQuerySet",
    "State",
    "Tally",
    "TaskRun",
    "TaskRunQuerySet",
    "Trigger",
    "count_errors",
]
