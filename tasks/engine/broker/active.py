"""Which messages of a queue are active in this process."""

from threading import Lock


class ActiveMessages:
    """The messages of one queue that this process has fetched and not acknowledged, by their ids.

    Only the consumer's thread adds to them; any thread may remove one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: set[bytes] = set()
        # Those that no worker thread has been given yet: they end with the consumer.
        self._kept: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> frozenset[bytes]:
        """Return a copy of the ids."""
        with self._lock:
            return frozenset(self._ids)

    def add(self, *ids: bytes) -> None:
        """Add what the consumer has fetched, and keeps for now."""
        with self._lock:
            self._ids.update(ids)
            self._kept.update(ids)

    def pass_on(self, key: bytes) -> None:
        """Note that a message goes to the worker threads, which outlive the consumer."""
        with self._lock:
            self._kept.discard(key)

    def remove(self, *ids: bytes) -> None:
        """Remove what has been acknowledged or given back."""
        with self._lock:
            self._ids.difference_update(ids)
            self._kept.difference_update(ids)

    def forget_kept(self) -> None:
        """Remove what an earlier consumer kept, and took with it when it ended."""
        with self._lock:
            self._ids -= self._kept
            self._kept.clear()
