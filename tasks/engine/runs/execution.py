"""What an actor sees of its run: how far it has come, and when to stop."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from threading import Event, local
from time import monotonic
from typing import Any

from django.db import transaction
from dramatiq.errors import Retry

from tasks.engine.database import check_connection, database_now, short_transaction
from tasks.engine.heartbeat import Heartbeat
from tasks.engine.models import TaskRun
from tasks.engine.outages import outages

#: How long one message of a run works before the next one continues it, so that no deploy waits for
#: it and no other run starves.
SLICE_SECONDS = 20.0

#: What is kept of an attempt that the database has overtaken, by a crash or a failover.
LOST_STEPS = "The database lost the last steps of this attempt; the run continues from what it has."

#: Set when this process has been told to stop.
shutting_down = Event()


class _Current(local):
    execution: "Execution | None" = None


_current = _Current()


class Continued(Retry):
    """The next message of this run continues it."""


class RunTakenOver(Retry):
    """This process counted as gone, and its run was released to another attempt."""

    def __init__(self) -> None:
        super().__init__("this process was held up for too long")


class ProgressLost(Retry):
    """The database has crashed and lost the last steps of this run: they do not wait for the disk.

    What this attempt remembers may be wrong, so another one continues from what the database has.
    """

    def __init__(self) -> None:
        super().__init__("the database crashed and lost its last steps")


class Stopped(Retry):
    """This run was asked to stop."""


class Execution:
    """One attempt at a run, in this process.

    Attributes:
        as_of: the moment that its work refers to, the same for all attempts.
        stop_requested: set it to end the run at its next step.
    """

    def __init__(
        self,
        run: TaskRun,
        heartbeat: Heartbeat,
        *,
        sliced: bool = True,
        on_step: Callable[["Execution"], None] = lambda _: None,
    ) -> None:
        """Prepare an attempt at a run that was just started for this process.

        Args:
            sliced: leave the rest to the next message after `SLICE_SECONDS`.
            on_step: called with this after each step.
        """
        self.run = run
        self.as_of: datetime = run.as_of
        self.stop_requested = Event()
        self._started = monotonic()
        self._heartbeat = heartbeat
        self._on_step = on_step
        self._ends = self._started + SLICE_SECONDS if sliced else float("inf")
        self._progressed = False
        #: What this attempt last read or saved, and what it was saving when a step failed.
        self._known: dict[str, Any] | None = None
        self._attempted: dict[str, Any] | None = None

    @property
    def run_id(self) -> int:
        return self.run.pk

    @property
    def attempt(self) -> tuple[int, int]:
        """The primary key of the run, and the number of this attempt."""
        return self.run.pk, self.run.attempts

    @property
    def progress(self) -> dict[str, Any]:
        """The progress that the last step has saved; do not change it."""
        return self._known or {}

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Do a part of the work, and save the progress, in one transaction.

        Before the transaction, this waits while the database is away. Errors within it reach the
        caller, who may repeat the step.

        Yields:
            The progress, to be read and changed. If the block succeeds, it is committed with what
            the block did to the database; otherwise neither is.

        Raises:
            Continued: the slice is over, or this process is to stop.
            Stopped, ProgressLost, RunTakenOver: see there.
        """
        if self.stop_requested.is_set():
            raise Stopped
        # However short the slice, each message makes some progress.
        if shutting_down.is_set() or (self._progressed and monotonic() >= self._ends):
            raise Continued
        self.read(check_connection)
        with short_transaction():
            before = self._before()
            progress = deepcopy(before)
            yield progress
            self._attempted = progress
            # If another attempt has started meanwhile, or the database no longer has what this
            # attempt knows, all of this step is rolled back.
            if not self.run.save_progress(progress, self._heartbeat.id, before=before):
                raise self._reason_to_end()
        self._known, self._attempted = progress, None
        self._progressed = self._progressed or progress != before
        self._on_step(self)

    def was_held_up(self) -> bool:
        """Say whether this process was frozen, or could write no heartbeat, during this attempt."""
        return self._heartbeat.was_held_up_since(self._started)

    def is_stored(self) -> bool:
        """Say whether the database has all the steps that this attempt knows of."""
        if self._known is None:
            return True
        stored = self.run.stored_progress()
        return stored is None or stored in self._remembered()

    def _before(self) -> dict[str, Any]:
        """Return the progress that earlier steps have saved.

        While the run is this attempt's, no other writes it. So it is read only at first, and after
        a step that failed: that one may have been committed nevertheless.
        """
        if self._known is not None and self._attempted is None:
            return self._known
        stored = self.run.read_progress()
        if stored is None or (self._known is not None and stored not in self._remembered()):
            raise self._reason_to_end()
        self._known, self._attempted = stored, None
        return stored

    def _remembered(self) -> list[Any]:
        """Return the progress that the database may hold, as it holds it."""
        remembered = (self._known, self._attempted)
        return [json.loads(json.dumps(progress)) for progress in remembered if progress is not None]

    def read[R](self, do: Callable[[], R]) -> R:
        """Read from the database outside of any step; wait while it is away.

        The time that this takes does not count towards the slice.

        Raises:
            OperationalError, InterfaceError: it is away, and this process is to stop.
        """

        def read() -> R:
            # After a freeze, write a heartbeat first, or the run is released to other processes.
            self._heartbeat.beat_if_late()
            return do()

        started = monotonic()
        done = outages.retry_until_database_returns(read, until=shutting_down, written=False)
        self._ends += monotonic() - started
        return done

    def _reason_to_end(self) -> Retry:
        if self.run.is_to_stop():
            return Stopped()
        return RunTakenOver() if self.run.stored_progress() is None else ProgressLost()


class Unrecorded:
    """What an actor sees that is called outside of any run: its progress is kept in memory alone.

    Its steps may be part of a larger transaction, and never end it.
    """

    run_id: int | None = None

    def __init__(self) -> None:
        self.as_of: datetime = database_now()
        self._progress: dict[str, Any] = {}

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        progress = deepcopy(self._progress)
        with transaction.atomic():
            yield progress
        self._progress = progress

    def read[R](self, do: Callable[[], R]) -> R:
        return do()


def current_run() -> Execution | Unrecorded:
    """Return the run that this thread works on."""
    return _current.execution or Unrecorded()


def set_current(execution: Execution | None) -> Execution | None:
    """Set what `current_run` returns in this thread; return what was set before."""
    before, _current.execution = _current.execution, execution
    return before
