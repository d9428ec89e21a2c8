"""For how long a process has been in contact with the database without a break.

Silence of another process means that it is gone only if this one could have heard it all the while.
So whoever would take a run from a silent process asks here first: after an outage, a suspended
machine, a step of the database's clock or its own start it knows nothing yet.
"""

from datetime import datetime, timedelta
from threading import Lock
from time import monotonic

from tasks.engine.models.process import liveness

#: A break is a gap of this part of the liveness. With a beat's length added it stays below 1, so
#: that a process which is alive is heard between two breaks.
BREAK = 0.5


class Contact:
    """This process's contact with the database; several threads may use it."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = Lock()
        self._since: datetime | None = None
        self._last: datetime | None = None
        self._noted = 0.0

    def note(self, now: datetime) -> None:
        """Note that a sign of life could be written just now.

        That the database could be read is not enough: others can give no sign of theirs, either,
        while it takes no writes.

        Args:
            now: the moment by the database's clock. A clock that was set forward or back is a
                break, as it makes every process look silent, or none.
        """
        with self._lock:
            if self._last is None or self._broken(now - self._last):
                self._since = self._last = now
            # Threads that ask at the same time may note their answers in another order.
            self._last = max(now, self._last)
            self._noted = monotonic()

    def gone_before(self) -> datetime | None:
        """Return the moment before which whoever has been silent since is gone.

        It is a whole liveness ago, by the database's clock when that last answered.

        Returns:
            None if this process has not been in contact for so long.
        """
        with self._lock:
            if self._since is None or self._last is None or self._broken(timedelta()):
                return None
            then = self._last - liveness()
            return then if then >= self._since else None

    def _broken(self, by_the_database: timedelta) -> bool:
        """Say whether there has been a break, by either clock."""
        longest = liveness() * BREAK
        here = timedelta(seconds=monotonic() - self._noted)
        return max(abs(by_the_database), here) > longest
