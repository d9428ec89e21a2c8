"""The console's pages that change nothing: the overview, parts of a run's, questions first."""

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from tasks.engine.console.overview import read_overview
from tasks.engine.console.requests import (
    Question,
    ask,
    for_operators,
    is_live,
    may_view_details,
    operator,
    refusal,
)
from tasks.engine.console.run_page import read_run_page
from tasks.engine.models import Attempt, TaskRun
from tasks.engine.operations.errors import Refused
from tasks.engine.operations.permissions import VIEW_DETAILS, check_may_start, may_start
from tasks.engine.operations.runs import preview_undo, undo_message


@require_safe
@for_operators()
def overview(request: HttpRequest) -> HttpResponse:
    """Show how background work is doing; to HTMX, the part of the page that changes."""
    live = is_live(request)
    shown = read_overview(with_errors=may_view_details(request), with_charts=not live)
    schedules = shown.status.schedules if shown.status else ()
    context = {
        **({} if live else admin.site.each_context(request)),
        "title": "Background work",
        "overview": shown,
        "startable": {
            each.row.task for each in schedules if may_start(operator(request), each.row.task)
        },
    }
    template = "tasks/console/live.html" if live else "tasks/console/overview.html"
    return TemplateResponse(request, template, context)


@require_safe
@for_operators()
def run_live(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the part of a run's page that changes, to HTMX; the page itself is the admin's."""
    if not is_live(request):
        return redirect("admin:tasks_taskrun_change", pk)
    try:
        page = read_run_page(pk, operator(request))
    except TaskRun.DoesNotExist as error:
        raise Http404 from error
    return TemplateResponse(request, "tasks/console/run_live.html", page)


@require_safe
@for_operators(VIEW_DETAILS)
def attempt_error(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Show the whole error of an earlier attempt."""
    attempt = get_object_or_404(Attempt.objects.select_related("run"), run=pk, number=number)
    context = {
        **admin.site.each_context(request),
        "title": f"Error of attempt {number}",
        "run": attempt.run,
        "attempt": attempt,
    }
    return TemplateResponse(request, "tasks/console/attempt_error.html", context)


@require_safe
@for_operators()
def confirm_undo(request: HttpRequest, pk: int) -> HttpResponse:
    """Say what undoing a run would restore, and ask for a confirmation."""
    run = get_object_or_404(TaskRun, pk=pk)
    try:
        check_may_start(operator(request), undo_message(run).actor_name)
        lines, yes = tuple(preview_undo(run)), f"Yes, undo run {pk}"
    except Refused as error:
        lines, yes = (refusal(request, error),), ""
    question = Question(
        title=f"Undo run {pk}",
        lines=lines,
        yes=yes,
        action=reverse("background:undo", args=[pk]),
        no=reverse("admin:tasks_taskrun_change", args=[pk]),
    )
    return ask(request, question)
