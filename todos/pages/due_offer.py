"""Offers the due date that a title may mean: beside the notice of a new todo, and in its row."""

from datetime import date, timedelta

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language

from todos.due_words import Suggestion, suggest
from todos.models import Todo
from todos.pages.notices import Offer

#: For how long the row of a new todo offers it.
OFFERED_FOR = timedelta(days=1)


def meant_by(title: str, *, said_on: date) -> Suggestion | None:
    """Return the due date, if it is not past, that a title of a certain day means."""
    meant = suggest(title, today=said_on, language=get_language() or "")
    return meant if meant and meant.due_on >= timezone.localdate() else None


def meant_by_new(todo: Todo) -> Suggestion | None:
    """Return what the title of a todo means, if that is new, and has no due date."""
    if todo.due_on or timezone.now() - todo.created_at > OFFERED_FOR:
        return None
    return meant_by(todo.title, said_on=timezone.localdate(todo.created_at))


def offer_due(todo: Todo, meant: Suggestion, label: str) -> Offer:
    """Return the button that sets the date, and takes its words out of the title."""
    fields = {"id": str(todo.pk), "due_on": meant.due_on.isoformat(), "words": meant.words}
    return Offer(label=label, url=reverse("todos:set_due"), fields=fields, key=False)
