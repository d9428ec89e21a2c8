"""Cuts the way of a walk into ranges of about as many rows each."""

from typing import Any

from todos.rows import Rows

#: As many rows are counted off to see how dense they are, before ranges that are much larger.
SAMPLE = 1_000


class Ranges:
    """The ends of ranges, one after the other.

    An index knows where a range ends: the so-manieth row from where it begins. To count that many
    costs a tenth of deleting them, so where rows lie densely and most of them are dealt with, ids
    tell as much: the first range is as wide as a sample of it says, and the next one as wide as the
    one before needed to be.
    """

    def __init__(self, rows: Rows, *, after: Any, first: Any, last: Any, size: int) -> None:
        """Prepare it.

        Args:
            rows: what to count off.
            after: the position that the first range begins after; None for the beginning.
            first: the first one there is.
            last: the last one.
            size: how many rows a range is to have. None has more than twice as many, and those
                that were counted by id have no more.
        """
        self._rows = rows
        self._first = first
        self._last = last
        self._size = size
        self._width: int | None = None
        if isinstance(last, int) and after != last and size > 2 * SAMPLE:
            begin = first if after is None else after
            self._spread(self._count(begin, SAMPLE) - begin, SAMPLE)

    def end_after(self, after: Any) -> Any:
        """Return the end of the range that begins after a key."""
        if self._width is None:
            return self._count(after, self._size)
        return min(self._begin(after) + self._width, self._last)

    def learn(self, after: Any, through: Any, found: int) -> None:
        """Take note of how many rows were dealt with between two keys."""
        if isinstance(through, int):
            self._spread(through - self._begin(after), found)

    def _count(self, after: Any, number: int) -> Any:
        end = self._rows.between(after, self._last).position_at(number)
        return self._last if end is None else end

    def _begin(self, after: Any) -> int:
        begin: int = self._first - 1 if after is None else after
        return begin

    def _spread(self, width: int, found: int) -> None:
        """Set the width of the next range: so many ids had so many rows.

        Where fewer than every fourth id is one of them, who knows where they lie.
        """
        dense = 0 < width <= 4 * found
        self._width = min(width * self._size // found, 2 * self._size) if dense else None
