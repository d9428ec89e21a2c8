"""The admin of background work: schedules to change, runs and processes to look at."""

from django.contrib import admin
from django_dramatiq.models import Task

from tasks.engine.admin.processes import ProcessAdmin
from tasks.engine.admin.runs import TaskRunAdmin
from tasks.engine.admin.schedules import ScheduleAdmin

__all__ = ["ProcessAdmin", "ScheduleAdmin", "TaskRunAdmin"]

# Messages are not recorded there, and its page would show their contents unescaped.
admin.site.unregister(Task)
