"""A person's trash."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from todos.models import TrashedTodo, TrashedTodoQuerySet
from todos.pages.given import row_id
from todos.pages.requests import PersonRequest
from todos.pages.sweep_notice import SweepNotice, sweeps_in
from todos.pages.trash_groups import trash_page
from todos.pages.trash_words import is_recent


@never_cache
@login_required
def show(request: PersonRequest) -> HttpResponse:
    """Show the trash; with `?run=`, what one run of the cleanup took."""
    now = timezone.now()
    trash = TrashedTodo.objects.filter(user=request.user)
    run, before = request.GET.get("run"), request.GET.get("before")
    todos = trash if run is None else trash.swept_by(row_id(run))
    page = trash_page(request.user, todos, before=before, now=now)
    context: dict[str, Any] = {
        "page": page,
        "run": run,
        "is_first": before is None,
        "trash_days": settings.TODO_TRASH_DAYS,
    }
    if run is None and page.groups:
        context["total"] = trash.count()
        if before is None:
            context["sweep_notice"] = recent_sweeps(trash, now=now)
    return render(request, "todos/trash.html", context)


def recent_sweeps(trash: TrashedTodoQuerySet, *, now: datetime) -> SweepNotice | None:
    """Return what was swept last night or today; None if nothing of it is left."""
    recent = [sweep for sweep in sweeps_in(trash) if is_recent(sweep.at, now=now)]
    return SweepNotice(recent, now) if recent else None
