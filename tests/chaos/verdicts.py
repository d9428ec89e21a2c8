"""What `tasks_status --check` said all the time, held against what was wrong."""

import subprocess
import sys
from dataclasses import dataclass
from time import monotonic, time

from tests.chaos.stage import Stage

#: Between the end of one look and the next (seconds).
EVERY_SECONDS = 3.0

#: How long (seconds) one of `SERIOUS` may last before the verdict must say something: a minute on
#: default settings, where a process counts as gone after 60 seconds and not after 8.
SILENCE_ALLOWED_SECONDS = 15.0

#: With any of these, nothing gets done: whatever else happens, all is not well.
SERIOUS = ("database away", "broker away", "all workers frozen", "all schedulers frozen")

#: How long (seconds) a run may not progress before the verdict must say something.
STUCK_SECONDS = 60.0

ALL_WELL = "All well."


@dataclass(frozen=True)
class Verdict:
    """One answer, and when it was asked for and given (seconds since 1970)."""

    asked_at: float
    given_at: float
    said: str

    @property
    def is_well(self) -> bool:
        """Whether it said that nothing is wrong."""
        return ALL_WELL in self.said


class Verdicts:
    """Asks for the verdict again and again, as monitoring would."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._command: subprocess.Popen[str] | None = None
        self._asked_at = 0.0
        self._next = 0.0
        self.given: list[Verdict] = []

    def look_after(self) -> None:
        """Take note of an answer that has come; ask again when it is time."""
        if self._command:
            if self._command.poll() is None:
                return
            said, errors = self._command.communicate()
            self.given.append(Verdict(self._asked_at, time(), (said or errors).strip()))
            self._command = None
            self._next = monotonic() + EVERY_SECONDS
        if monotonic() >= self._next:
            self._asked_at = time()
            self._command = subprocess.Popen(
                [sys.executable, "manage.py", "tasks_status", "--check"],
                cwd=self._stage.tidy.folder,
                env=self._stage.tidy.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def end(self) -> None:
        """Wait for the last answer, and do without it."""
        if self._command:
            self._command.kill()
            self._command.communicate()
            self._command = None

    def silent_about(self, start: float, end: float) -> list[Verdict]:
        """Return the answers that were asked for and given between two moments, and said "well"."""
        return [
            verdict
            for verdict in self.given
            if verdict.is_well and verdict.asked_at >= start and verdict.given_at <= end
        ]

    def spoke_about(self, start: float, end: float) -> int:
        """Count the answers between two moments that did say something."""
        return sum(
            verdict.asked_at >= start and verdict.given_at <= end and not verdict.is_well
            for verdict in self.given
        )
