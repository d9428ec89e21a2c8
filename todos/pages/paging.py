"""Pages of lists of any length: each begins where another ended, at a place that its address names.

A page costs the same wherever it begins: the database is asked for the rows beyond a place, which
it finds in an index, not for a number of rows to skip.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from django.db.models import F, Q, QuerySet

from todos.models import TodoFields
from todos.pages.given import day, moment, row_id

PAGE_SIZE = 50


class Place[V](NamedTuple):
    """Where a todo stands in an order: the value that it is ordered by, and its id."""

    value: V
    pk: int


@dataclass(frozen=True)
class Page[T: TodoFields]:
    """Some todos in a row.

    Attributes:
        todos: these.
        newer: the place of the first, if there are others before it; otherwise empty.
        older: the place of the last, if there are others after it; otherwise empty.
    """

    todos: list[T]
    newer: str = ""
    older: str = ""


class Order[V](ABC):
    """An order of todos, in which no two have the same place."""

    @abstractmethod
    def sort[T: TodoFields](self, todos: QuerySet[T], *, forward: bool) -> QuerySet[T]:
        """Return todos in this order, or from the last to the first."""

    @abstractmethod
    def beyond[T: TodoFields](
        self, todos: QuerySet[T], place: Place[V], *, forward: bool
    ) -> Iterable[QuerySet[T]]:
        """Return the todos after a place, or before it, in parts that an index serves each."""

    @abstractmethod
    def key(self, todo: TodoFields) -> Any:
        """Return what sorts a todo in this order."""

    @abstractmethod
    def value(self, todo: TodoFields) -> V:
        """Return what a todo is ordered by."""

    @abstractmethod
    def read(self, text: str) -> V:
        """Return a value from the text that `write` made; Http404 if it did not."""

    @abstractmethod
    def write(self, value: V) -> str:
        """Return a value as text."""

    def place(self, todo: TodoFields) -> str:
        """Return the place of a todo, for an address."""
        return f"{self.write(self.value(todo))}_{todo.pk}"

    def page[T: TodoFields](
        self, todos: QuerySet[T], given: Mapping[str, str], *, size: int = PAGE_SIZE
    ) -> Page[T]:
        """Return a page of todos.

        Args:
            todos: all that the pages hold.
            given: the place that the page begins `after`, or ends `before`; by default, the first.
            size: the most todos of a page.
        """
        if "before" in given:
            found = self._take(todos, given["before"], size + 1, forward=False)
            if len(found) > size:
                page = found[size - 1 :: -1]
                return Page(page, newer=self.place(page[0]), older=self.place(page[-1]))
            # Nearly at the beginning: show that.
            given = {}
        after = given.get("after", "")
        found = self._take(todos, after, size + 1, forward=True)
        if after and not found:
            # The last ones have left this list.
            return self.page(todos, {}, size=size)
        page = found[:size]
        return Page(
            page,
            newer=self.place(page[0]) if page and after else "",
            older=self.place(page[-1]) if len(found) > size else "",
        )

    def first[T: TodoFields](self, todos: QuerySet[T], size: int = PAGE_SIZE) -> QuerySet[T]:
        """Return the todos of the first page, and one more if there is one, for `first_page`."""
        return self.sort(todos, forward=True)[: size + 1]

    def first_page[T: TodoFields](self, found: Iterable[T], size: int = PAGE_SIZE) -> Page[T]:
        """Return the first page of what `first` has found, in whatever order it comes."""
        todos = sorted(found, key=self.key)
        return Page(todos[:size], older=self.place(todos[size - 1]) if len(todos) > size else "")

    def _take[T: TodoFields](
        self, todos: QuerySet[T], place: str, count: int, *, forward: bool
    ) -> list[T]:
        ordered = self.sort(todos, forward=forward)
        parts = self.beyond(ordered, self._read(place), forward=forward) if place else [ordered]
        found: list[T] = []
        for part in parts:
            if len(found) < count:
                found += part[: count - len(found)]
        return found

    def _read(self, place: str) -> Place[V]:
        value, _, pk = place.rpartition("_")
        return Place(self.read(value), row_id(pk))


class ByDue(Order[date | None]):
    """The open todos: by their dates; then those without one, the newest first."""

    def sort[T: TodoFields](self, todos: QuerySet[T], *, forward: bool) -> QuerySet[T]:
        if forward:
            return todos.order_by(F("due_on").asc(nulls_last=True), "-pk")
        return todos.order_by(F("due_on").desc(nulls_first=True), "pk")

    def beyond[T: TodoFields](
        self, todos: QuerySet[T], place: Place[date | None], *, forward: bool
    ) -> Iterable[QuerySet[T]]:
        dated, undated = todos.filter(due_on__isnull=False), todos.filter(due_on__isnull=True)
        match place.value, forward:
            case None, True:
                return [undated.filter(pk__lt=place.pk)]
            case None, False:
                return [undated.filter(pk__gt=place.pk), dated]
            case due_on, True:
                later = Q(due_on__gt=due_on) | Q(pk__lt=place.pk)
                return [todos.filter(later, due_on__gte=due_on), undated]
            case due_on, _:
                earlier = Q(due_on__lt=due_on) | Q(pk__gt=place.pk)
                return [todos.filter(earlier, due_on__lte=due_on)]

    def key(self, todo: TodoFields) -> Any:
        return todo.due_on or date.max, -todo.pk

    def value(self, todo: TodoFields) -> date | None:
        return todo.due_on

    def read(self, text: str) -> date | None:
        return day(text) if text else None

    def write(self, value: date | None) -> str:
        return "" if value is None else value.isoformat()


class ByMoment(Order[datetime]):
    """By a moment that all of them have, the last one first."""

    def __init__(self, field: str) -> None:
        self._field = field

    def sort[T: TodoFields](self, todos: QuerySet[T], *, forward: bool) -> QuerySet[T]:
        return todos.order_by(*((f"-{self._field}", "-pk") if forward else (self._field, "pk")))

    def beyond[T: TodoFields](
        self, todos: QuerySet[T], place: Place[datetime], *, forward: bool
    ) -> Iterable[QuerySet[T]]:
        way = "lt" if forward else "gt"
        past = {f"{self._field}__{way}": place.value}
        edge = {f"{self._field}__{way}e": place.value}
        return [todos.filter(Q(**past) | Q(**{f"pk__{way}": place.pk}), **edge)]

    def key(self, todo: TodoFields) -> Any:
        return -self.value(todo).timestamp(), -todo.pk

    def value(self, todo: TodoFields) -> datetime:
        value: Any = getattr(todo, self._field)
        assert isinstance(value, datetime)  # noqa: S101  (for mypy)
        return value

    def read(self, text: str) -> datetime:
        return moment(text)

    def write(self, value: datetime) -> str:
        return value.isoformat()


BY_DUE = ByDue()
BY_COMPLETION = ByMoment("completed_at")
BY_REMOVAL = ByMoment("trashed_at")
