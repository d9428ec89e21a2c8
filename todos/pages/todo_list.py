"""A person's list: what is open, and what has been completed."""

from typing import Any, cast

from django.conf import settings
from django.db.models import Count, Window
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.crypto import get_random_string

from todos.leaving import Leaving
from todos.models import Todo
from todos.pages.answers import logged_in, page
from todos.pages.paging import BY_COMPLETION, BY_DUE
from todos.pages.requests import PersonRequest
from todos.pages.rows import completed_rows, for_rows, open_rows
from todos.pages.sweep_notice import show_sweeps

#: Completed todos on the list itself; the others have a page of their own.
COMPLETED_SHOWN = 10


def show(request: HttpRequest) -> HttpResponse:
    """Show the list; to somebody who is not logged in, what Tidy is."""
    if request.user.is_authenticated:
        return show_list(cast("PersonRequest", request))
    context = {"signup_is_open": settings.ACCOUNTS_SIGN_UP}
    return render(request, "todos/welcome.html", context)


def show_list(request: PersonRequest, *, status: int = 200, **context: Any) -> HttpResponse:
    """Show the list, with further values for the template."""
    todos = for_rows(Todo.objects.filter(user=request.user))
    open_page = BY_DUE.page(todos.open(), request.GET)
    context |= {
        "page": open_page,
        "rows": open_rows(open_page.todos),
        "key": new_key(),
        "trash_days": settings.TODO_TRASH_DAYS,
    }
    if not open_page.newer:
        # Who looks for the completed ones reads all of them in any case.
        completed = todos.completed().annotate(total=Window(Count("pk")))
        done = BY_COMPLETION.page(completed, {}, size=COMPLETED_SHOWN)
        now = timezone.now()
        first: Any = done.todos[0] if done.todos else None
        context |= {
            "completed": completed_rows(done.todos, Leaving(request.user, now=now)),
            "completed_count": first.total if first else 0,
            "has_more_completed": bool(done.older),
            "sweep_notice": show_sweeps(request.user, now=now),
        }
    return page(request, "todos/list.html", context, status=status)


def new_key() -> str:
    """Return a key for a form, by which the todo that it adds is added once."""
    return get_random_string(22)


@logged_in
def show_completed(request: PersonRequest) -> HttpResponse:
    """Show all completed todos."""
    todos = Todo.objects.filter(user=request.user).completed()
    done = BY_COMPLETION.page(for_rows(todos), request.GET)
    leaving = Leaving(request.user, now=timezone.now())
    context = {
        "page": done,
        "completed": completed_rows(done.todos, leaving),
        "completed_count": todos.count(),
    }
    return page(request, "todos/completed.html", context)


@logged_in
def show_shortcuts(request: PersonRequest) -> HttpResponse:
    """Show the keyboard shortcuts."""
    return page(request, "todos/shortcuts.html", {})
