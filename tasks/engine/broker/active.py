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
        self._to_return: dict[bytes, None] = {}

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

    def give_back(self, key: bytes) -> None:
        """Leave it to the consumer to return a message to its queue, which no thread works on.

        It may be fetched again at once, by the same consumer: if another thread had returned it
        and removed it here, in whichever order, that could hit the one that was fetched again.
        """
        with self._lock:
            self._to_return[key] = None

    def to_return(self) -> list[bytes]:
        """Say which messages the consumer has to return, in order; they are active until then."""
        with self._lock:
            return [key for key in self._to_return if key in self._ids]

    def remove(self, *ids: bytes) -> None:
        with self._lock:
            self._ids.difference_update(ids)
            self._kept.difference_update(ids)
            for key in ids:
                self._to_return.pop(key, None)

    def forget_kept(self) -> None:
        """Remove what an earlier consumer kept, which ended with it."""
        with self._lock:
            self._ids -= self._kept
            self._kept.clear()
