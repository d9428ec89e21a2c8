"""Asks a server something that may never return, and waits for the answer no longer than one likes.

A thread of its own does the asking, one question at a time: however many wait, one thread hangs.
"""

from collections.abc import Callable
from threading import Condition, Thread

#: Waiting is counted in slices of this length: a process that gets no time counts few of them, and
#: does not take its own slowness for the server's.
SLICE_SECONDS = 0.05


class Asker[Answer]:
    """Asks one question again and again."""

    def __init__(self, question: Callable[[], Answer]) -> None:
        """Prepare to call `question`, which raises nothing."""
        self._question = question
        self._condition = Condition()
        self._asked = 0
        self._answered = 0
        self._answer: Answer | None = None
        self._thread: Thread | None = None

    def ask(self, seconds: float) -> Answer | None:
        """Return an answer to a question that is asked from now on; None if none came in time."""
        with self._condition:
            self._asked += 1
            mine = self._asked
            if self._thread is None:  # Not earlier: a process that forks would lose it.
                self._thread = Thread(target=self._keep_asking, name="asker", daemon=True)
                self._thread.start()
            self._condition.notify_all()
            for _ in range(round(seconds / SLICE_SECONDS)):
                if self._answered >= mine:
                    return self._answer
                self._condition.wait(SLICE_SECONDS)
            return self._answer if self._answered >= mine else None

    def _keep_asking(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._asked > self._answered)
                asked = self._asked
            answer = self._question()
            with self._condition:
                self._answer, self._answered = answer, asked
                self._condition.notify_all()
