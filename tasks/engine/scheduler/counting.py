"""Has the hours that are over counted, whichever scheduler comes first."""

from time import monotonic

from tasks.engine.operations.counting import count_next_hours

#: Between two looks whether an hour is over.
LOOK_EVERY_SECONDS = 60.0


class HourlyCounts:
    """The counting of one scheduler. A ledger that was never counted takes it some ticks."""

    def __init__(self) -> None:
        self._next_look = 0.0

    def run(self) -> None:
        """Count some hours, if there are any to count.

        Raises:
            OperationalError, InterfaceError: the database is away.
        """
        if monotonic() >= self._next_look and not count_next_hours():
            self._next_look = monotonic() + LOOK_EVERY_SECONDS
