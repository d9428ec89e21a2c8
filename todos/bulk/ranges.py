"""Divides the rows of a bulk operation into ranges of similar size."""

from collections.abc import Callable

#: Rows that are counted off to learn their density, if ranges are much larger than this.
SAMPLE_ROWS = 1_000

type Count[K] = Callable[[K | None, int], K]
"""Returns the position a number of rows after another (None: the beginning), or the last one."""


class Ranges[K]:
    """Ranges of `size` rows each, which an index counts off; none has more than twice as many."""

    def __init__(self, count: Count[K], *, size: int) -> None:
        self._count = count
        self._size = size

    def end_after(self, after: K | None) -> K:
        """Return the end of the range that begins after a position."""
        return self._count(after, self._size)

    def learn(self, after: K | None, through: K, rows: int) -> None:
        """Note how many rows were acted on between two positions."""


class IdRanges(Ranges[int]):
    """Ranges of ids, which need no counting where rows are dense and most are acted on.

    To count rows off costs a tenth of deleting them. So the first range gets its width from a
    sample of its rows, and each further one from the range before.
    """

    def __init__(
        self, count: Count[int], *, after: int | None, first: int, last: int, size: int
    ) -> None:
        super().__init__(count, size=size)
        self._first = first
        self._last = last
        self._width: int | None = None
        if after != last and size > 2 * SAMPLE_ROWS:
            begin = first if after is None else after
            self._spread(count(begin, SAMPLE_ROWS) - begin, SAMPLE_ROWS)

    def end_after(self, after: int | None) -> int:
        if self._width is None:
            return super().end_after(after)
        return min(self._begin(after) + self._width, self._last)

    def learn(self, after: int | None, through: int, rows: int) -> None:
        self._spread(through - self._begin(after), rows)

    def _begin(self, after: int | None) -> int:
        return self._first - 1 if after is None else after

    def _spread(self, width: int, rows: int) -> None:
        """Set the width of the next range, after `width` ids had `rows` rows.

        Where fewer than a quarter of the ids have one, a width says too little: rows are counted.
        """
        dense = 0 < width <= 4 * rows
        self._width = min(width * self._size // rows, 2 * self._size) if dense else None
