"""What an actor sees of its run: how far it has come, and when to stop for now."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from threading import Event, local
from time import monotonic
from typing import Any

from dramatiq.errors import Retry

from tasks.engine.database import database_now, short_transaction
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import TaskRun
from tasks.engine.outages import check_connection, outages
from todos.bulk.store import InMemoryStore

#: How long (seconds) one message of a run works before the next one goes on with the rest, so that
#: a deploy never waits for it and it keeps nobody else waiting.
SLICE_SECONDS = 20.0

#: Set when this process has been told to stop.
stopping = Event()

_current = local()


class Continued(Retry):
    """The rest of this run is for its next message."""


class RunTakenOver(Retry):
    """Others have taken this process for dead, and the run is theirs."""


class Rewound(Retry):
    """The database has died and lost the last steps of this run: it goes on from what was kept.

    Steps do not wait for the disk. Whatever this attempt remembers of them, and what it was about
    to do next, may be wrong.
    """


class Stopped(Retry):
    """Somebody has asked for this run to stop."""


class Execution:
    """One attempt at a run, in this process."""

    def __init__(self, run: TaskRun, heartbeat: Heartbeat, *, sliced: bool = True) -> None:
        """Begin.

        Args:
            run: taken up by this process just now.
            heartbeat: how others know of this process.
            sliced: hand on after a while; otherwise it runs to its end.
        """
        self.run = run
        self.as_of: datetime = run.as_of
        self.result: object = None
        self.to_stop = Event()
        self._heartbeat = heartbeat
        self.begun = monotonic()
        self._ends = self.begun + SLICE_SECONDS if sliced else float("inf")
        self._progressed = False
        #: What this attempt last read or wrote, and what it was writing when a step ended badly.
        self._known: dict[str, Any] | None = None
        self._attempted: dict[str, Any] | None = None

    @property
    def run_id(self) -> int:
        """The run's row."""
        return self.run.pk

    @property
    def attempt(self) -> tuple[int, int]:
        """The run, and which of its attempts this is."""
        return self.run.pk, self.run.attempts

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Do a part of the work in one transaction with the account of it.

        A database that is away is waited for before the transaction is opened. What goes wrong
        within it is the caller's: a step may be tried again.

        Yields:
            What earlier steps have written there, to be read and changed. It is kept if the block
            ends well, and with it whatever the block did to the database; otherwise neither is.

        Raises:
            Continued: enough for now; the rest is for the next message.
            Stopped: somebody has asked for the run to stop.
            Rewound: the database has lost earlier steps.
            RunTakenOver: this process was taken for dead, and the run is somebody else's.
        """
        if self.to_stop.is_set():
            raise Stopped
        # However short the time, each message gets on a little.
        if stopping.is_set() or (self._progressed and monotonic() >= self._ends):
            raise Continued
        self.read(check_connection)
        with short_transaction():
            before = self._before()
            progress = deepcopy(before)
            yield progress
            self._attempted = progress
            # If others have taken the run up meanwhile, or the database no longer has what this
            # attempt knows, all of this step is undone.
            if not self.run.save_progress(progress, self._heartbeat.id, before=before):
                raise self._lost()
        self._known, self._attempted = progress, None
        self._progressed = self._progressed or progress != before

    def is_kept(self) -> bool:
        """Say whether the database has all the steps that this attempt knows of."""
        if self._known is None:
            return True
        stored = self.run.stored_progress()
        return stored is None or stored in self._remembered()

    def _before(self) -> dict[str, Any]:
        """Return what earlier steps have written.

        While the run is ours, nobody else writes there. So it is read only at first, and after a
        step that ended badly: that may have been kept all the same.
        """
        if self._known is not None and self._attempted is None:
            return self._known
        stored = self.run.read_progress()
        if stored is None or (self._known is not None and stored not in self._remembered()):
            raise self._lost()
        self._known, self._attempted = stored, None
        return stored

    def _remembered(self) -> list[Any]:
        """Return what the database may hold, as it does."""
        accounts = (self._known, self._attempted)
        return [json.loads(json.dumps(account)) for account in accounts if account is not None]

    def read[R](self, do: Callable[[], R]) -> R:
        """Read from the database outside of any step; wait while it is away.

        The time that this takes is no part of the slice: the run goes on afterwards.

        Raises:
            OperationalError, InterfaceError: it is away, and this process is to stop.
        """
        started = monotonic()
        done = outages.retry_until_database_returns(
            lambda: self._among_the_living(do), until=stopping
        )
        self._ends += monotonic() - started
        return done

    def _among_the_living[R](self, do: Callable[[], R]) -> R:
        # A process that was frozen says first that it is there, or the run would be taken from it.
        self._heartbeat.beat_if_late()
        return do()

    def _lost(self) -> Retry:
        """Return why the run may not be worked on any longer."""
        if self.run.is_to_stop():
            return Stopped()
        return RunTakenOver() if self.run.stored_progress() is None else Rewound()


class Unrecorded(InMemoryStore):
    """What an actor sees that is called outside of any run: nothing is kept, and it never stops."""

    def __init__(self) -> None:
        super().__init__()
        self.as_of: datetime = database_now()


def current_run() -> Execution | Unrecorded:
    """Return the run that this thread is at."""
    execution: Execution | None = getattr(_current, "execution", None)
    return execution or Unrecorded()


def set_current(execution: Execution | None) -> Execution | None:
    """Have `current_run` in this thread return this; return what it returned before."""
    before: Execution | None = getattr(_current, "execution", None)
    _current.execution = execution
    return before
