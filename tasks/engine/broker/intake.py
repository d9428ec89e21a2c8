"""From which queues this process takes messages."""

from collections.abc import Collection


class Intake:
    """What the consumers of a process ask before each fetch; any thread may change it."""

    def __init__(self) -> None:
        self._paused: frozenset[str] = frozenset()
        self._is_shut = False

    def takes_from(self, queue: str) -> bool:
        return not self._is_shut and queue not in self._paused

    @property
    def is_shut(self) -> bool:
        """Whether it takes nothing at all."""
        return self._is_shut

    @property
    def is_restricted(self) -> bool:
        return self._is_shut or bool(self._paused)

    def set_paused(self, queues: Collection[str]) -> None:
        """Take from all queues but these."""
        self._paused = frozenset(queues)

    def note_paused(self, queue: str) -> None:
        """Take nothing more from this queue, either."""
        self._paused |= {queue}

    def shut(self) -> None:
        """Take nothing more, for good."""
        self._is_shut = True
