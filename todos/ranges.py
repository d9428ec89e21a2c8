"""Cuts the way of a walk into ranges of about as many rows each."""

from typing import Any

from todos.rows import Rows


class Ranges:
    """The ends of ranges, one after the other.

    An index knows where a range ends: the so-manieth row from where it begins. To count that many
    costs a tenth of deleting them, so where most of the rows passed are dealt with, ids tell as
    much: the next range is as wide as the one before needed to be.
    """

    def __init__(self, rows: Rows, *, last: Any, size: int) -> None:
        """Prepare it.

        Args:
            rows: what to count off.
            last: the last key there is on the way.
            size: how many rows a range is to have. None has more than twice as many, and those that
                were counted have no more.
        """
        self._rows = rows
        self._last = last
        self._size = size
        self._width: int | None = None

    def end_after(self, after: Any) -> Any:
        """Return the end of the range that begins after a key."""
        if self._width is not None:
            return min(after + self._width, self._last)
        end = self._rows.between(after, self._last).key_at(self._size)
        return self._last if end is None else end

    def learn(self, after: Any, through: Any, found: int) -> None:
        """Take note of how many rows were dealt with between two keys."""
        dense = isinstance(after, int) and 2 * found >= self._size
        self._width = (
            min((through - after) * self._size // found, 2 * self._size) if dense else None
        )
