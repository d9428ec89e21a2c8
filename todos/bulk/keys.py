"""Keys: the fields that divide bulk operations into ranges, and the positions on them."""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Q

from todos.bounds import MAX_ID


class Key[K](ABC):
    """A field by whose order rows are passed."""

    #: Its name.
    field: str
    #: Whether several rows may have the same value.
    shared: bool

    @abstractmethod
    def position(self, value: Any, row_id: int) -> K:
        """Return the position of the row with this value and this id."""

    @abstractmethod
    def load(self, value: Any, row_id: int) -> K:
        """Return a position from the value as JSON holds it, and the id beside it."""

    @abstractmethod
    def dump(self, position: K) -> tuple[int | str, int | None]:
        """Return what `load` takes. The id is None where the value says it all."""

    @abstractmethod
    def share(self, first: K, last: K, position: K) -> float:
        """Return what share of the way from first to last has been passed, from 0 to 1."""

    @abstractmethod
    def between(self, after: K | None, through: K) -> Q:
        """Select the rows after one position (None: from the beginning), through another."""


class IdKey(Key[int]):
    """The primary key: a position is an id."""

    field = "id"
    shared = False

    def position(self, value: Any, row_id: int) -> int:  # noqa: ARG002
        return int(value)

    load = position

    def dump(self, position: int) -> tuple[int, None]:
        return position, None

    def share(self, first: int, last: int, position: int) -> float:
        return 1.0 if first == last else (position - first) / (last - first)

    def between(self, after: int | None, through: int) -> Q:
        end = Q(id__lte=through)
        return end if after is None else end & Q(id__gt=after)


class Position(NamedTuple):
    """A moment that several rows may share, and the id of one of them."""

    moment: datetime
    row_id: int


class MomentKey(Key[Position]):
    """A moment that rows may share: a position is the moment with the id of a row.

    The conditions on the moment alone are for the index, which holds nothing else.
    """

    shared = True

    def __init__(self, field: str) -> None:
        self.field = field

    def position(self, value: datetime, row_id: int) -> Position:
        return Position(value, row_id)

    def load(self, value: str, row_id: int) -> Position:
        return Position(datetime.fromisoformat(value), row_id)

    def dump(self, position: Position) -> tuple[str, int]:
        return position.moment.isoformat(), position.row_id

    def share(self, first: Position, last: Position, position: Position) -> float:
        if first.moment == last.moment:
            return 1.0
        return (position.moment - first.moment) / (last.moment - first.moment)

    def between(self, after: Position | None, through: Position) -> Q:
        field = self.field
        rows = Q(**{f"{field}__lte": through.moment})
        if through.row_id != MAX_ID:
            rows &= Q(**{f"{field}__lt": through.moment}) | Q(id__lte=through.row_id)
        if after is None:
            return rows
        if after.row_id == MAX_ID:
            return rows & Q(**{f"{field}__gt": after.moment})
        begin = Q(**{f"{field}__gt": after.moment}) | Q(id__gt=after.row_id)
        return rows & Q(**{f"{field}__gte": after.moment}) & begin


ID = IdKey()
