"""Adding todos: one line, and a due date that is offered if the line says one."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from todos.bounds import MAX_TODOS
from todos.day_words import day_words
from todos.limits import seconds_until_add
from todos.models import Todo
from todos.pages.answers import gone, posted
from todos.pages.due_offer import meant_by, offer_due
from todos.pages.forms import in_plain_words
from todos.pages.given import back
from todos.pages.notices import Offer, report
from todos.pages.requests import PersonRequest
from todos.pages.todo_list import new_key, show_list
from todos.pages.trash_words import number, quoted
from todos.services import TodoNotFound, TodoService, TooManyTodos


@posted
def add(request: PersonRequest) -> HttpResponse:
    """Add a todo."""
    title = request.POST.get("title", "")
    key = request.POST.get("key") or new_key()
    if wait := seconds_until_add(request.user):
        error = _("You are adding very many todos. Wait a minute, then add it again.")
        response = refuse(request, title, error, status=429)
        response["Retry-After"] = str(wait)
        return response
    try:
        todo = TodoService.create_once(user=request.user, key=key, title=title)
    except ValidationError as invalid:
        return refuse(request, title, " ".join(in_plain_words(invalid).messages))
    except TooManyTodos:
        error = _("You have %(count)s todos, and a list holds no more. Delete some first.")
        return refuse(request, title, error % {"count": number(MAX_TODOS)})
    except TodoNotFound as repeated:
        return gone(request, repeated.todo_id)
    say_added(request, todo)
    return back(request)


def refuse(request: PersonRequest, title: str, error: str, *, status: int = 422) -> HttpResponse:
    """Say why a todo was not added, beside what was typed."""
    if request.htmx:
        # The script keeps what was typed.
        return HttpResponse(error, content_type="text/plain", status=status)
    return show_list(request, typed=title, error=error, status=status)


def say_added(request: PersonRequest, todo: Todo) -> None:
    """Say that a todo was added, and offer the due date that its title may mean."""
    offers = [
        Offer(label=_("Undo"), url=reverse("todos:delete"), fields={"id": str(todo.pk)}),
    ]
    if meant := meant_by(todo.title, said_on=timezone.localdate()):
        values = {"day": day_words(meant.due_on), "title": quoted(meant.title)}
        label = _("Due %(day)s, as %(title)s") % values
        offers.insert(0, offer_due(todo, meant, label))
    text = _("Added %(title)s.") % {"title": quoted(todo.title)}
    report(request, text, *offers, level=messages.SUCCESS)
