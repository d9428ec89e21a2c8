"""A person's trash."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from todos.day_words import last_evening
from todos.models import TrashedTodo
from todos.pages.answers import logged_in, page
from todos.pages.given import row_id
from todos.pages.paging import BY_REMOVAL
from todos.pages.requests import PersonRequest
from todos.pages.sweep_notice import notice_of
from todos.pages.trash_groups import groups_of

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
            # Of last night and today.
            context["sweep_notice"] = notice_of(trash, since=last_evening(now=now), now=now)
    return page(request, "todos/trash.html", context)
