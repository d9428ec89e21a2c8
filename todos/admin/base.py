"""What the lists of todos and of the trash share."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator

from accounts.staff.log import LoggedById
from accounts.staff.selection import counted
from todos.models import Todo, TodoFields

SHORT_TITLE_CHARACTERS = 50


class OptionFilter[Q: QuerySet[Any]](admin.SimpleListFilter):
    """A filter with a few options."""

    #: For each value in the address, its label and a function that filters the rows.
    options: dict[str, tuple[str, Callable[[Q], Q]]]

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(value, label) for value, (label, _) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Q:
        """Return the rows of the chosen option; all rows if it does not exist."""
        _, chosen = self.options.get(self.value() or "", ("", lambda rows: rows))
        rows: Q = chosen(queryset)
        return rows


class BaseTodoAdmin(LoggedById):
    """A list of todos, for tables of any size."""

    list_display_links = ("id", "short_title")
    # The newest first, by the primary key's index.
    ordering = ("-id",)
    # Measured with a million todos: the list takes 0.1 s. A second count takes half as long again,
    # a date hierarchy three times as long (2.5 s on SQLite). Django's counts for each filter
    # ("facets") grow with the square of the table: PostgreSQL had not ended them in 10 minutes.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["todos/admin.css"]}

    @admin.display(description="title", ordering="title")
    def short_title(self, todo: TodoFields) -> str:
        return Truncator(todo.title).chars(SHORT_TITLE_CHARACTERS)

    def say_changed(self, request: HttpRequest, count: int, verb: str) -> None:
        """Tell the user how many todos an action has changed; the verb is such as `completed`."""
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, f"{counted(Todo, count)} {verb}.", level)
