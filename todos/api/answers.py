"""How todos are answered: with when they leave, and one alone with its entity tag."""

from collections.abc import Iterable

from django.http import HttpResponse
from django.utils import timezone

from accounts.models import User
from todos.api.schemas import TodoOut
from todos.leaving import Leaving
from todos.models import Todo


def answer(user: User, todo: Todo, response: HttpResponse) -> TodoOut:
    """Return a todo as the API gives it, and tell in the header how it is now."""
    given = TodoOut.of(todo, leaving_of(user))
    response.headers["ETag"] = given.etag
    return given


def todos_out(todos: Iterable[Todo], leaving: Leaving) -> list[TodoOut]:
    """Return todos as the API gives them."""
    return [TodoOut.of(todo, leaving) for todo in todos]


def leaving_of(user: User) -> Leaving:
    """Return when a person's todos leave, as of now."""
    return Leaving(user, now=timezone.now())
