"""The console's page of one task: its charts over the last 24 hours, 7 or 30 days."""

from django.contrib import admin
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe
from dramatiq.broker import get_broker

from tasks.engine.console.charts import Drawing
from tasks.engine.console.overview import STATEMENT_TIMEOUT_MS
from tasks.engine.console.requests import for_operators
from tasks.engine.console.task_charts import PERIODS, task_charts
from tasks.engine.database import database_now, statement_timeout
from tasks.engine.models import Schedule
from tasks.engine.words import reason


@require_safe
@for_operators()
def charts(request: HttpRequest, task: str) -> HttpResponse:
    """Show a task's charts; of another version's tasks, too, as long as they have a schedule."""
    schedules = Schedule.objects.filter(task=task).in_order()
    if task not in get_broker().actors and not schedules:
        raise Http404
    wanted = request.GET.get("over", "")
    period = next((one for one in PERIODS if one.key == wanted), PERIODS[0])
    drawings: tuple[Drawing, ...] = ()
    unread = ""
    try:
        with statement_timeout(STATEMENT_TIMEOUT_MS):
            drawings = task_charts(task, period, database_now())
    except DatabaseError as error:
        unread = reason(error)
    context = {
        **admin.site.each_context(request),
        "title": task,
        "task": task,
        "periods": PERIODS,
        "period": period,
        "charts": drawings,
        "unread": unread,
        "schedules": schedules,
    }
    return TemplateResponse(request, "tasks/console/task_charts.html", context)
