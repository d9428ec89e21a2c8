"""Which messages of a queue are active in this process."""

from threading import Lock


class ActiveMessages:
    """The messages of one queue that this process has fetched and not acknowledged, by their ids.

    Only the consumer's thread adds to them; any thread may remove one.

    Attributes:
        polls: how often that thread has looked for messages, or for a broker that is away.
    """

    def __init__(self) -> None:
        self.polls = 0
        self._lock = Lock()
        self._ids: set[bytes] = set()
        # Those that the consumer has not passed on to a worker thread: they end with it.
        self._kept: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> frozenset[bytes]:
        with self._lock:
            return frozenset(self._ids)

    def add(self, *ids: bytes) -> None:
        with self._lock:
            self._ids.update(ids)
            self._kept.update(ids)

    def pass_on(self, key: bytes) -> None:
        """Note that a message goes to a worker thread, which outlives the consumer."""
        with self._lock:
            self._kept.discard(key)

    def remove(self, *ids: bytes) -> None:
        with self._lock:
            self._ids.difference_update(ids)
            self._kept.difference_update(ids)

    def forget_kept(self) -> None:
        """Remove what an earlier consumer kept, which ended with it."""
        with self._lock:
            self._ids -= self._kept
            self._kept.clear()
