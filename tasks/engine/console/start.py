"""The console's pages of tasks: what there is, and a form that starts a run with arguments."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe
from dramatiq import Actor, Message
from dramatiq.broker import get_broker

from tasks.engine.console.requests import (
    Question,
    ask,
    for_operators,
    is_confirmed,
    is_live,
    log,
    may_view_details,
    operator,
    show_refusal,
)
from tasks.engine.console.start_form import StartForm, values_of
from tasks.engine.console.start_lines import command_line, python_lines, schedule_address
from tasks.engine.models import Schedule, TaskRun
from tasks.engine.operations import runs as operations
from tasks.engine.operations.errors import Refused, Unconfirmed
from tasks.engine.operations.permissions import check_may_start, may_start

#: Of the number of a run in an address.
MAX_DIGITS = 18


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """A task: what it does in a sentence, its queue, when it runs, and who may start it."""

    name: str
    what: str
    queue: str
    schedules: Sequence[str]
    may_start: bool


@require_safe
@for_operators()
def tasks(request: HttpRequest) -> HttpResponse:
    """List the tasks that this version of the code has actors for."""
    schedules: dict[str, list[Schedule]] = defaultdict(list)
    for schedule in Schedule.objects.in_order():
        schedules[schedule.task].append(schedule)
    rows = [
        TaskRow(
            name=name,
            what=(getdoc(actor.fn) or "").partition("\n")[0],
            queue=actor.queue_name,
            schedules=[times_of(schedule) for schedule in schedules[name]],
            may_start=may_start(operator(request), name),
        )
        for name, actor in sorted(get_broker().actors.items())
    ]
    context = {**admin.site.each_context(request), "title": "Tasks", "tasks": rows}
    return TemplateResponse(request, "tasks/console/tasks.html", context)


def times_of(schedule: Schedule) -> str:
    """Return in words when a schedule's task runs."""
    name = f"{schedule.name}: " if schedule.name else ""
    try:
        times = schedule.recurrence.describe()
    except ValueError as error:
        return f"{name}cannot be used: {error}"
    return f"{name}{times}" + ("" if schedule.is_active else ", paused")


@require_http_methods(["GET", "HEAD", "POST"])
@for_operators()
@sensitive_post_parameters()
def start(request: HttpRequest, task: str) -> HttpResponse:
    """Show a form of a task's arguments, what does the same elsewhere, and start a run."""
    actor = get_broker().actors.get(task)
    if actor is None:
        raise Http404
    check_may_start(operator(request), task)
    if request.method != "POST":
        return show(request, actor, form_from_address(request, actor))
    form = StartForm(actor, request.POST, as_json=request.POST.getlist("as_json"))
    if "show" in request.POST or "start" not in request.POST or not form.is_valid():
        return show(request, actor, form)
    message = form.message()
    try:
        return start_run(request, message)
    except Unconfirmed as error:
        asked = error.confirmation
        return ask(
            request,
            Question(
                title=asked.title,
                lines=asked.lines,
                yes=asked.button,
                action=request.path,
                fields=typed(request),
                no=reverse("background:tasks"),
                change="show",
            ),
        )
    except Refused as error:
        show_refusal(request, error)
        return show(request, actor, form)


def start_run(request: HttpRequest, message: Message[Any]) -> HttpResponse:
    """Start the run of a message, and lead to its page; see `operations.start`."""
    with transaction.atomic():
        given = {"args": message.args, "kwargs": message.kwargs}
        run = operations.start(
            message.actor_name, given, by=operator(request), confirmed=is_confirmed(request)
        )
        log(request, [run], ADDITION, "Start with arguments.")
    messages.success(request, f"Run {run.pk} of {run.task} is queued.")
    return redirect("admin:tasks_taskrun_change", run.pk)


def form_from_address(request: HttpRequest, actor: Actor[..., Any]) -> StartForm:
    """Return an empty form, or one with the arguments of what the address names.

    That is a run (`from`) or a schedule (`schedule`) of the task.
    """
    run_id, schedule_id = request.GET.get("from", ""), request.GET.get("schedule", "")
    number = run_id or schedule_id
    if not number:
        return StartForm(actor)
    if not may_view_details(request):
        raise PermissionDenied
    if not number.isdecimal() or len(number) > MAX_DIGITS:
        raise Http404
    if run_id:
        run = get_object_or_404(TaskRun, pk=run_id, task=actor.actor_name)
        whose, arguments = f"run {run.pk}", run.arguments
    else:
        schedule = get_object_or_404(Schedule, pk=schedule_id, task=actor.actor_name)
        whose, arguments = f"the schedule {schedule}", {"kwargs": schedule.arguments}
    values: Mapping[str, Any] | None = values_of(actor, arguments)
    if values is None:
        text = f"{actor.actor_name} does not take the arguments of {whose} any more."
        messages.warning(request, text)
    return StartForm(actor, initial=values)


def show(request: HttpRequest, actor: Actor[..., Any], form: StartForm) -> HttpResponse:
    """Show a form; to HTMX, the lines that do the same alone."""
    # A form that nobody has typed into may be complete as it is.
    whole = form if form.is_bound else form.as_typed()
    message = whole.message() if whole.is_valid() else None
    live = is_live(request)
    context = {
        **({} if live else admin.site.each_context(request)),
        "title": f"Start {actor.actor_name}",
        "task": actor.actor_name,
        "what": getdoc(actor.fn) or "",
        "queue": actor.queue_name,
        "form": form,
        "whole": whole,
        "command": command_line(message) if message else "",
        "python": python_lines(message) if message else "",
        "schedule": schedule_address(message) if message else "",
    }
    template = "tasks/console/start_lines.html" if live else "tasks/console/start.html"
    return TemplateResponse(request, template, context)


def typed(request: HttpRequest) -> tuple[tuple[str, str], ...]:
    """Return what was posted, to be posted once more."""
    return tuple(
        (name, str(value))
        for name, values in request.POST.lists()
        if name != "csrfmiddlewaretoken"
        for value in values
    )
