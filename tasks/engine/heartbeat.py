"""The heartbeat of a process: tells the others every few seconds that it is alive."""

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
from django.conf import settings
from django.db import connections
from django.db.models.functions import Now

from tasks.engine.contact import Contact
from tasks.engine.database import DATABASE_AWAY, database_now
from tasks.engine.models import Process, ProcessKind
from tasks.engine.outages import outages

logger = structlog.get_logger(__name__)

#: Heartbeats in the time after which a silent process counts as gone.
BEATS_PER_LIVENESS = 6

#: While the database is away, the next heartbeat is tried this soon: whoever is back first must not
#: find everyone silent.
RETRY_SECONDS = 1.0

#: A heartbeat that comes so much later than planned was held up.
LATE_SECONDS = 1.0


class Heartbeat:
    """Keeps this process's row fresh, in a thread: a context manager around the process's work."""

    def __init__(
        self,
        kind: ProcessKind,
        *,
        queues: Collection[str] = (),
        tasks: Collection[str] = (),
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the heartbeat.

        Args:
            kind: what the process does.
            queues: those that a worker serves.
            tasks: those that a worker has actors for.
            on_beat: called by the thread after each heartbeat.
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
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def name(self) -> str:
        """This process's host and number, for a person to read (see `ProcessQuerySet.named`)."""
        return f"{socket.gethostname()}, process {os.getpid()}"

    def start(self) -> None:
        """Write the first heartbeat and start the thread."""
        self._try_to_beat()
        self._thread.start()

    def beat_if_late(self) -> None:
        """Write a heartbeat unless there was one lately: this process may have been frozen.

        Raises:
            OperationalError, InterfaceError: the database is away.
        """
        if monotonic() - self._beaten_at > 2 * interval_seconds():
            self.beat()

    def stop(self) -> None:
        """End the thread and delete the row."""
        self._ended.set()
        self._thread.join(1)
        with suppress(*DATABASE_AWAY):  # Then others delete it, when it has been silent for long.
            Process.objects.filter(pk=self.id).delete()

    def was_held_up_since(self, moment: float) -> bool:
        """Say whether this process was frozen, or could write no heartbeat, at some time since.

        Args:
            moment: as `monotonic` counts.
        """
        late = monotonic() - self._beaten_at > interval_seconds() + LATE_SECONDS
        return late or self._held_up_at >= moment

    def beat(self) -> None:
        """Write a heartbeat.

        Raises:
            OperationalError, InterfaceError: the database is away.
        """
        begun = monotonic()
        if not Process.objects.filter(pk=self.id).update(seen_at=Now()):
            # The first one, or others have taken this process for dead. Another thread of this
            # process may notice that at the same time.
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
            logger.exception("heartbeat failed")  # The next one may succeed.
        return self._beaten_at != beaten_at


def interval_seconds() -> float:
    """Return the seconds from one heartbeat to the next."""
    return settings.TASKS_LIVENESS_SECONDS / BEATS_PER_LIVENESS
