"""People who read and add, without a break, and count what goes wrong for them."""

from collections import Counter
from itertools import count
from threading import Event, Lock, Thread
from typing import Self

from tests.compose.visitor import Answer, Visitor

#: So that each stays below what one person may add in a minute.
PAUSE_SECONDS = 0.05
ADDS_EVERY = 16


class Load:
    """Visitors who work until the block ends.

    Attributes:
        requests: how many were sent.
        added: how many todos were said to be added.
        slowest: the longest that one took (seconds).
        wrong: what came back instead of what was expected, and how often.
    """

    def __init__(self, visitors: list[Visitor]) -> None:
        self.requests = 0
        self.added = 0
        self.slowest = 0.0
        self.wrong: Counter[str] = Counter()
        self._over = Event()
        self._lock = Lock()
        self._threads = [Thread(target=self._work, args=[visitor]) for visitor in visitors]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, visitor: Visitor) -> None:
        for number in count(1):
            if self._over.wait(PAUSE_SECONDS):
                return
            adds = number % ADDS_EVERY == 0
            answer = visitor.add(f"Load {number}") if adds else visitor.get("/")
            with self._lock:
                self._count(answer, adds=adds)

    def _count(self, answer: Answer, *, adds: bool) -> None:
        self.requests += 1
        self.slowest = max(self.slowest, answer.seconds)
        if answer.status != (302 if adds else 200):
            self.wrong[f"{answer.status} {answer.body[:60]!r}"] += 1
        elif adds:
            self.added += 1
