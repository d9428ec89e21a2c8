"""When a silent process counts as gone.

Its silence means that only if the process that judges it was itself in contact with the database
throughout. After an outage, a suspended machine, a step of the database's clock or its own start,
it knows nothing yet, and must not release the runs of a silent one.
"""

from datetime import datetime, timedelta
from threading import Lock
from time import monotonic

from tasks.engine.models.process import liveness

#: A gap of more than this fraction of the liveness is a break. With the interval between two
#: heartbeats added it stays below 1, so that a live process is heard between two breaks.
BREAK_FRACTION = 0.5


class Contact:
    """This process's contact with the database; several threads may use it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._since: datetime | None = None
        self._last: datetime | None = None
        self._noted = 0.0

    def note(self, now: datetime) -> None:
        """Note that a heartbeat could be written at `now`, by the database's clock.

        To read from the database is not enough: while it accepts no writes, other processes cannot
        write their heartbeats, either. A clock that was set forward or back is a break, as it makes
        every process look silent, or none.
        """
        with self._lock:
            if self._last is None or self._broken(now - self._last):
                self._since = self._last = now
            # Threads that write at the same time may call this in another order.
            self._last = max(now, self._last)
            self._noted = monotonic()

    def gone_before(self) -> datetime | None:
        """Return the moment since which every live process has written a heartbeat.

        It is a whole liveness before the database last answered, by the database's clock; None if
        this process has not been in contact for that long.
        """
        with self._lock:
            # The database is not asked for its time here: this machine's clock alone shows a break.
            if self._since is None or self._last is None or self._broken(timedelta()):
                return None
            then = self._last - liveness()
            return then if then >= self._since else None

    def _broken(self, by_database: timedelta) -> bool:
        """Say whether there has been a break since the last note, by either clock.

        Args:
            by_database: how far the database's clock has moved since then; zero if it was not read.
        """
        by_machine = timedelta(seconds=monotonic() - self._noted)
        return max(abs(by_database), by_machine) > liveness() * BREAK_FRACTION
