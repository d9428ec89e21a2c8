"""How a todo stands in a list: what a row shows beside its title."""

from collections.abc import Iterable
from datetime import date
from typing import Any, TypedDict

from django.db.models import QuerySet
from django.db.models.functions import Left
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from todos.day_words import day_words
from todos.leaving import Leaving
from todos.models import Todo, TrashedTodo
from todos.pages.due_offer import meant_by_new, offer_due
from todos.pages.notices import Offer
from todos.pages.trash_words import days_left

#: How much of a description a row shows, in characters.
EXCERPT = 200


class Row(TypedDict):
    """A todo in a list. A dictionary: templates look there first, and a page has many rows.

    Attributes:
        pk: its id, as text: a number would be localized, seven times a row.
        due: when it is due, in words; empty if never, or no longer.
        pressing: how urgent that is: `late`, `today` or empty.
        leaves: when it leaves, in words; empty for an open one.
        offer: of the due date that its title may mean, for as long as it is new.
    """

    pk: str
    title: str
    excerpt: str
    due: str
    pressing: str
    leaves: str
    offer: Offer | None


def for_rows[Q: QuerySet[Any]](todos: Q) -> Q:
    """Read what rows need of todos, which may have long descriptions."""
    return todos.defer("description").annotate(excerpt=Left("description", EXCERPT))


def open_rows(todos: Iterable[Todo]) -> list[Row]:
    today = timezone.localdate()
    return [
        row(
            todo,
            due=due_words(todo.due_on, today),
            pressing=pressing(todo.due_on, today),
            offer=offer(todo),
        )
        for todo in todos
    ]


def completed_rows(todos: Iterable[Todo], leaving: Leaving) -> list[Row]:
    return [row(todo, leaves=leaving.words(todo)) for todo in todos]


def trashed_rows(todos: Iterable[TrashedTodo]) -> list[Row]:
    now = timezone.now()
    return [row(todo, leaves=days_left(todo, now=now)) for todo in todos]


def row(
    todo: Any, *, due: str = "", pressing: str = "", leaves: str = "", offer: Offer | None = None
) -> Row:
    """Return the row of a todo that `for_rows` has read."""
    return {
        "pk": str(todo.pk),
        "title": todo.title,
        "excerpt": todo.excerpt,
        "due": due,
        "pressing": pressing,
        "leaves": leaves,
        "offer": offer,
    }


def offer(todo: Todo) -> Offer | None:
    """Return the offer of the due date that a title may mean, if it does."""
    meant = meant_by_new(todo)
    if meant is None:
        return None
    return offer_due(todo, meant, _("Due %(day)s?") % {"day": day_words(meant.due_on)})


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


def pressing(due_on: date | None, today: date) -> str:
    """Return how urgent a due date is."""
    if due_on is None or due_on > today:
        return ""
    return "today" if due_on == today else "late"
