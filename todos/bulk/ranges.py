"""Divides the way of a bulk operation into ranges of about as many rows each."""

from collections.abc import Callable

#: Rows that are counted off to see how dense they are, before ranges that are much larger.
SAMPLE_ROWS = 1_000

type Count[K] = Callable[[K | None, int], K]
"""Returns the position so many rows after another (None: from the beginning), or the last one."""


class Ranges[K]:
    """The ends of ranges, one after the other: an index counts off the rows of each."""

    def __init__(self, count: Count[K], *, size: int) -> None:
        """Make ranges of `size` rows; none has more than twice as many."""
        self._count = count
        self._size = size

    def end_after(self, after: K | None) -> K:
        """Return the end of the range that begins after a position."""
        return self._count(after, self._size)

    def learn(self, after: K | None, through: K, rows: int) -> None:
        """Take note of how many rows were acted on between two positions."""


class IdRanges(Ranges[int]):
    """Ranges of ids, which need no counting where rows lie densely and most are acted on.

    To count rows off costs a tenth of deleting them. So the first range is as wide as a sample of
    its rows says, and the next one as wide as the one before needed to be.
    """

    def __init__(
        self, count: Count[int], *, after: int | None, first: int, last: int, size: int
    ) -> None:
        """Begin after an id; None for the beginning, which is `first`."""
        super().__init__(count, size=size)
        self._first = first
        self._last = last
        self._width: int | None = None
        if after != last and size > 2 * SAMPLE_ROWS:
            begin = first if after is None else after
            self._spread(count(begin, SAMPLE_ROWS) - begin, SAMPLE_ROWS)

    def end_after(self, after: int | None) -> int:
        """Return the end of the range that begins after an id."""
        if self._width is None:
            return super().end_after(after)
        return min(self._begin(after) + self._width, self._last)

    def learn(self, after: int | None, through: int, rows: int) -> None:
        """Adapt the width of the next range."""
        self._spread(through - self._begin(after), rows)

    def _begin(self, after: int | None) -> int:
        return self._first - 1 if after is None else after

    def _spread(self, width: int, rows: int) -> None:
        """Set the width of the next range: so many ids had so many rows.

        Where fewer than every fourth id has one, nobody knows where they lie.
        """
        dense = 0 < width <= 4 * rows
        self._width = min(width * self._size // rows, 2 * self._size) if dense else None
