"""How a todo stands in a list: what a row shows beside its title."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from django.db.models import QuerySet
from django.db.models.functions import Left
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from todos.leaving import Leaving
from todos.models import Todo, TodoFields, TrashedTodo
from todos.pages.trash_words import day_words, days_left

#: How much of a description a row shows, in characters.
EXCERPT = 200


@dataclass(frozen=True)
class Row[T: TodoFields]:
    """A todo in a list.

    Attributes:
        todo: itself; of its description, `excerpt` alone has been read.
        due: when it is due, in words; empty if never, or no longer.
        pressing: how urgent that is.
        leaves: when it leaves, in words; empty for an open one.
    """

    todo: T
    due: str = ""
    pressing: Literal["late", "today", ""] = ""
    leaves: str = ""


def for_rows[Q: QuerySet[Any]](todos: Q) -> Q:
    """Read what rows need of todos, which may have long descriptions."""
    return todos.defer("description").annotate(excerpt=Left("description", EXCERPT))


def open_rows(todos: Iterable[Todo]) -> list[Row[Todo]]:
    today = timezone.localdate()
    return [
        Row(todo, due_words(todo.due_on, today), pressing(todo.due_on, today)) for todo in todos
    ]


def completed_rows(todos: Iterable[Todo], leaving: Leaving) -> list[Row[Todo]]:
    return [Row(todo, leaves=leaving.words(todo)) for todo in todos]


def trashed_rows(todos: Iterable[TrashedTodo]) -> list[Row[TrashedTodo]]:
    now = timezone.now()
    return [Row(todo, leaves=days_left(todo, now=now)) for todo in todos]


def due_words(due_on: date | None, today: date) -> str:
    """Return when a todo is due, in words."""
    if due_on is None:
        return ""
    days = (due_on - today).days
    if days < 0:
        return ngettext("%(days)d day overdue", "%(days)d days overdue", -days) % {"days": -days}
    if days == 0:
        return _("due today")
    if days == 1:
        return _("due tomorrow")
    return _("due %(day)s") % {"day": day_words(due_on)}


def pressing(due_on: date | None, today: date) -> Literal["late", "today", ""]:
    """Return how urgent a due date is."""
    if due_on is None or due_on > today:
        return ""
    return "today" if due_on == today else "late"
