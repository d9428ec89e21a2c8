"""Which attempts at runs are active in this process."""

from collections.abc import Set as AbstractSet
from threading import Lock

#: The primary key of a run, and the number of the attempt.
type Attempt = tuple[int, int]


class ActiveAttempts:
    """The attempts that threads of this process work on, or are starting."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._attempts: set[Attempt] = set()
        self._strays: AbstractSet[Attempt] = set()

    def reserve(self, attempt: Attempt, reserved: set[Attempt]) -> bool:
        """Reserve an attempt, unless another thread has it; say whether it is this thread's.

        It is added to `reserved`, the attempts that this thread has reserved.
        """
        with self._lock:
            if attempt in self._attempts - reserved:
                return False
            self._attempts.add(attempt)
            reserved.add(attempt)
        return True

    def release(self, attempts: AbstractSet[Attempt]) -> None:
        """Remove attempts that have ended, or were not started."""
        with self._lock:
            self._attempts -= attempts

    def find_strays(self, held: AbstractSet[Attempt]) -> AbstractSet[Attempt]:
        """Return the attempts that no thread works on, now and at the call before.

        Two calls are needed, as a row and this set do not change at the same moment. `held` are the
        attempts that are this process's by their rows.
        """
        with self._lock:
            strays = held - self._attempts
        confirmed, self._strays = strays & self._strays, strays
        return confirmed
