"""Search over a person's list, what they have completed, and their trash."""

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from todos.leaving import Leaving
from todos.matching import MAX_LENGTH, matching
from todos.models import Todo, TrashedTodo
from todos.pages.answers import logged_in, page
from todos.pages.paging import BY_COMPLETION, BY_DUE, BY_REMOVAL
from todos.pages.requests import PersonRequest
from todos.pages.rows import completed_rows, for_rows, open_rows, trashed_rows

#: Where it is looked for, in this order.
SECTIONS = ("open", "completed", "trash")


@require_safe
@logged_in
def search(request: PersonRequest) -> HttpResponse:
    """Show what has all the words of `?q=`; with `?in=`, in one section, page by page."""
    text = " ".join(request.GET.get("q", "")[:MAX_LENGTH].split())
    only = request.GET.get("in")
    if only not in {None, *SECTIONS}:
        raise Http404
    context: dict[str, Any] = {"q": text, "only": only}
    if text:
        context["sections"] = [
            section(request, name, text) | {"query": f"{urlencode({'q': text, 'in': name})}&"}
            for name in SECTIONS
            if only in {None, name}
        ]
        context["found"] = any(part["rows"] for part in context["sections"])
    return page(request, "todos/search.html", context)


def section(request: PersonRequest, name: str, text: str) -> dict[str, Any]:
    """Return what has been found in a section, for the template."""
    user, wanted = request.user, matching(text)
    if name == "trash":
        trash = for_rows(TrashedTodo.objects.filter(wanted, user=user))
        trashed = BY_REMOVAL.page(trash, request.GET)
        return {"name": name, "page": trashed, "rows": trashed_rows(trashed.todos)}
    todos = for_rows(Todo.objects.filter(wanted, user=user))
    if name == "open":
        found = BY_DUE.page(todos.open(), request.GET)
        return {"name": name, "page": found, "rows": open_rows(found.todos)}
    found = BY_COMPLETION.page(todos.completed(), request.GET)
    leaving = Leaving(user, now=timezone.now())
    return {"name": name, "page": found, "rows": completed_rows(found.todos, leaving)}
