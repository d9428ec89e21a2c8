"""A person's trash."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from todos.models import TrashedTodo, TrashedTodoQuerySet
from todos.pages.answers import logged_in, page
from todos.pages.given import row_id
from todos.pages.paging import BY_REMOVAL
from todos.pages.requests import PersonRequest
from todos.pages.sweep_notice import SweepNotice, sweeps_in
from todos.pages.trash_groups import groups_of
from todos.pages.trash_words import is_recent

#: Todos on a page.
PAGE_ROWS = 100


@require_safe
@logged_in
def show(request: PersonRequest) -> HttpResponse:
    """Show the trash; with `?run=`, what one run of the cleanup took."""
    now = timezone.now()
    trash = TrashedTodo.objects.filter(user=request.user)
    run = request.GET.get("run")
    todos = trash if run is None else trash.swept_by(row_id(run))
    shown = BY_REMOVAL.page(todos, request.GET, size=PAGE_ROWS)
    context: dict[str, Any] = {
        "page": shown,
        "groups": groups_of(request.user, todos, shown.todos, now=now),
        "run": run,
        "query": f"run={run}&" if run else "",
        "trash_days": settings.TODO_TRASH_DAYS,
    }
    if run is None and shown.todos:
        context["total"] = trash.count()
        if not shown.newer:
            context["sweep_notice"] = recent_sweeps(trash, now=now)
    return page(request, "todos/trash.html", context)


def recent_sweeps(trash: TrashedTodoQuerySet, *, now: datetime) -> SweepNotice | None:
    """Return what was swept last night or today; None if nothing of it is left."""
    recent = [sweep for sweep in sweeps_in(trash) if is_recent(sweep.at, now=now)]
    return SweepNotice(recent, now) if recent else None
