"""Tells the others that a process is there, every few seconds, for as long as it is."""

import os
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Self
from uuid import uuid4

import structlog
from django.db import connections
from django.db.models.functions import Now

from tasks.engine.conf import liveness_seconds
from tasks.engine.contact import Contact
from tasks.engine.database import database_now
from tasks.engine.models import Process, ProcessKind
from tasks.engine.outages import DATABASE_AWAY, outages

logger = structlog.get_logger(__name__)

#: Signs of life in the time after which a process counts as gone.
BEATS_PER_LIVENESS = 6

#: While the database is away, the next one is tried this soon (seconds): whoever is back first must
#: not find everyone silent.
RETRY_SECONDS = 1.0

#: A sign of life that comes so much later than it was to (seconds) was held up.
LATE_SECONDS = 1.0


class Heartbeat:
    """This process's row, kept fresh by a thread: a context manager around the process's work."""

    def __init__(
        self,
        kind: ProcessKind,
        *,
        queues: Collection[str] = (),
        tasks: Collection[str] = (),
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare it.

        Args:
            kind: what the process does.
            queues: those that a worker serves.
            tasks: those that a worker has actors for.
            on_beat: called after each sign of life that the thread has given.
        """
        self.id = uuid4()
        self.contact = Contact()
        self._kind = kind
        self._queues = sorted(queues)
        self._tasks = sorted(tasks)
        self._on_beat = on_beat
        self._beaten_at = float("-inf")
        self._held_up_at = float("-inf")
        self._ended = Event()
        self._thread = Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        """Be there from now on."""
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Be gone."""
        self.end()

    @property
    def name(self) -> str:
        """This process's host and number, for a person to read (see `ProcessQuerySet.named`)."""
        return f"{socket.gethostname()}, process {os.getpid()}"

    def begin(self) -> None:
        """Be there from now on."""
        self._try_to_beat()
        self._thread.start()

    def beat_if_late(self) -> None:
        """Give a sign of life unless there was one lately: this process may have been frozen.

        Raises:
            OperationalError, InterfaceError: the database is away.
        """
        if monotonic() - self._beaten_at > 2 * interval_seconds():
            self.beat()

    def end(self) -> None:
        """Be gone."""
        self._ended.set()
        self._thread.join(1)
        with suppress(*DATABASE_AWAY):  # Then it goes when nobody has heard of it for a while.
            Process.objects.filter(pk=self.id).delete()

    def was_held_up_since(self, moment: float) -> bool:
        """Say whether this process was frozen, or could give no sign of life, at some time since.

        Args:
            moment: as `monotonic` counts.
        """
        late = monotonic() - self._beaten_at > interval_seconds() + LATE_SECONDS
        return late or self._held_up_at >= moment

    def beat(self) -> None:
        """Give a sign of life.

        Raises:
            OperationalError, InterfaceError: the database is away.
        """
        begun = monotonic()
        if not Process.objects.filter(pk=self.id).update(seen_at=Now()):
            # The first one, or others have taken this process for dead. Another thread of this
            # process may find so at the same time.
            Process.objects.bulk_create([self._row()], ignore_conflicts=True)
        self.contact.note(database_now())
        self._beaten_at = begun

    def _row(self) -> Process:
        return Process(
            pk=self.id,
            kind=self._kind,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self._queues,
            tasks=self._tasks,
        )

    def _beat_on(self) -> None:
        pause, begun = interval_seconds(), monotonic()
        while not self._ended.wait(pause):
            well = self._try_to_beat()
            if not well or monotonic() - begun > pause + LATE_SECONDS:
                self._held_up_at = monotonic()
            pause, begun = (
                interval_seconds() if well else min(RETRY_SECONDS, interval_seconds()),
                monotonic(),
            )
        connections.close_all()

    def _try_to_beat(self) -> bool:
        beaten_at = self._beaten_at
        try:
            with outages.reporting():
                self.beat()
                self._on_beat()
        except Exception:
            logger.exception("no sign of life")  # The next one may do better.
        return self._beaten_at != beaten_at


def interval_seconds() -> float:
    """Return the seconds from one sign of life to the next."""
    return liveness_seconds() / BEATS_PER_LIVENESS
