"""A person's list: what is open, and what has been completed."""

from typing import Any, cast

from django.conf import settings
from django.db.models import Count, QuerySet, Subquery, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.views.decorators.http import require_safe

from todos.leaving import Leaving
from todos.models import Todo, TodoQuerySet
from todos.pages.answers import logged_in, page
from todos.pages.paging import BY_COMPLETION, BY_DUE, Page
from todos.pages.requests import PersonRequest
from todos.pages.rows import completed_rows, for_rows, open_rows
from todos.pages.sweep_notice import show_sweeps

#: Completed todos on the list itself; the others have a page of their own.
COMPLETED_SHOWN = 10


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Show the list; to somebody who is not logged in, what Tidy is."""
    if request.user.is_authenticated:
        return show_list(cast("PersonRequest", request))
    context = {
        "signup_is_open": settings.ACCOUNTS_SIGN_UP,
        "trash_days": settings.TODO_TRASH_DAYS,
    }
    return render(request, "todos/welcome.html", context)


def show_list(request: PersonRequest, *, status: int = 200, **context: Any) -> HttpResponse:
    """Show the list, with further values for the template."""
    context |= {"key": new_key(), "trash_days": settings.TODO_TRASH_DAYS}
    if request.GET.keys() & {"after", "before"}:
        open_page = BY_DUE.page(for_rows(todos_of(request).open()), request.GET)
    else:
        now = timezone.now()
        open_page, done, count = beginning(todos_of(request))
        context |= {
            "completed": completed_rows(done.todos, Leaving(request.user, now=now)),
            "completed_count": count,
            "has_more_completed": bool(done.older),
            "sweep_notice": show_sweeps(request.user, now=now),
        }
    context |= {"page": open_page, "rows": open_rows(open_page.todos)}
    return page(request, "todos/list.html", context, status=status)


def todos_of(request: PersonRequest) -> TodoQuerySet:
    return Todo.objects.filter(user=request.user)


def beginning(todos: TodoQuerySet) -> tuple[Page[Todo], Page[Todo], int]:
    """Return what the list begins with, in one query.

    A visit may take six queries; the session, the user, the schedule of the cleanup, and what it
    took, which is then noted as seen, are five.

    Returns:
        The first page of the open todos, and of the completed ones, and how many those are.
    """
    # Both numbers are in indexes. What is completed has none: the sweep would have to pay for it.
    count = number_of(todos) - number_of(todos.open())
    opens = rows_with(BY_DUE.first(todos.open()), completed_count=Value(0))
    done = rows_with(BY_COMPLETION.first(todos.completed(), COMPLETED_SHOWN), completed_count=count)
    found: list[Any] = list(opens.union(done, all=True))
    completed = [todo for todo in found if todo.completed_at]
    return (
        BY_DUE.first_page(todo for todo in found if not todo.completed_at),
        BY_COMPLETION.first_page(completed, COMPLETED_SHOWN),
        completed[0].completed_count if completed else 0,
    )


def rows_with(some: QuerySet[Todo], **more: Combinable) -> TodoQuerySet:
    """Return the rows of some todos, of which a query is sliced, for a union."""
    return for_rows(Todo.objects.filter(pk__in=some.values("pk"))).annotate(**more)


def number_of(todos: TodoQuerySet) -> Coalesce:
    """Return how many a person's todos are, for a query."""
    counted = todos.order_by().values("user").annotate(number=Count("*")).values("number")
    return Coalesce(Subquery(counted), 0)


def new_key() -> str:
    """Return a key for a form, by which the todo that it adds is added once."""
    return get_random_string(22)


@require_safe
@logged_in
def show_completed(request: PersonRequest) -> HttpResponse:
    """Show all completed todos."""
    todos = todos_of(request).completed()
    done = BY_COMPLETION.page(for_rows(todos), request.GET)
    leaving = Leaving(request.user, now=timezone.now())
    context = {
        "page": done,
        "completed": completed_rows(done.todos, leaving),
        "completed_count": todos.count(),
    }
    return page(request, "todos/completed.html", context)


@require_safe
@logged_in
def show_shortcuts(request: PersonRequest) -> HttpResponse:
    """Show the keyboard shortcuts."""
    return page(request, "todos/shortcuts.html", {})
