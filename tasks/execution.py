"""What an actor sees of its run: how far it has come, and when to stop for now."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from threading import Event, local
from time import monotonic
from typing import Any
from uuid import UUID

from django.utils import timezone
from dramatiq.errors import Retry

from tasks.models import TaskRun
from tasks.transactions import short_transaction
from todos.walk import InMemory

#: How long (seconds) one message of a run works before the next one goes on with the rest, so that
#: a deploy never waits for it and it keeps nobody else waiting.
SLICE = 20.0

#: Set when this process has been told to stop.
stopping = Event()

_current = local()


class HandedOn(Retry):
    """The rest of this run is for its next message."""


class RunTaken(Retry):
    """Others have taken this process for dead, and the run is theirs."""


class Execution:
    """One attempt at a run, in this process."""

    def __init__(self, run: TaskRun, process: UUID, *, sliced: bool = True) -> None:
        """Begin.

        Args:
            run: taken up by `process` just now.
            process: who that is.
            sliced: hand on after a while; otherwise it runs to its end.
        """
        self.run = run
        self.as_of: datetime = run.as_of
        self.result: object = None
        self._process = process
        self._ends = monotonic() + SLICE if sliced else float("inf")
        self._got_on = False
        self._progress: dict[str, Any] | None = None

    @property
    def run_id(self) -> int:
        """The run's row."""
        return self.run.pk

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Do a part of the work in one transaction with the account of it.

        Yields:
            What earlier steps have written there, to be read and changed. It is kept if the block
            ends well, and with it whatever the block did to the database; otherwise neither is.

        Raises:
            HandedOn: enough for now; the rest is for the next message.
            RunTaken: this process was taken for dead, and the run is somebody else's.
        """
        # However short the time, each message gets on a little.
        if stopping.is_set() or (self._got_on and monotonic() >= self._ends):
            raise HandedOn
        # While the run is ours, nobody else writes there. If this step ends badly, it is read anew:
        # who knows whether it was kept.
        known, self._progress = self._progress, None
        with short_transaction():
            before = self.run.read_progress() if known is None else known
            if before is None:
                raise RunTaken
            progress = deepcopy(before)
            yield progress
            # If others have taken the run up meanwhile, all of this step is undone.
            if not self.run.save_progress(progress, self._process):
                raise RunTaken
        self._progress = progress
        self._got_on = self._got_on or progress != before


class Unrecorded(InMemory):
    """What an actor sees that is called outside of any run: nothing is kept, and it never stops."""

    def __init__(self) -> None:
        super().__init__()
        self.as_of: datetime = timezone.now()


def current_run() -> Execution | Unrecorded:
    """Return the run that this thread is at."""
    execution: Execution | None = getattr(_current, "execution", None)
    return execution or Unrecorded()


def set_current(execution: Execution | None) -> None:
    """Have `current_run` in this thread return this."""
    _current.execution = execution
