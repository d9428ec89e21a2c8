"""The heartbeat of a process: shows the others every few seconds that it is alive."""

import os
import socket
from collections.abc import Callable, Collection
from threading import Event, Thread
from time import monotonic
from typing import Self
from uuid import UUID, uuid4

import structlog
from django.db import connections
from django.db.models.functions import Now

from tasks.engine.broker.presence import SignIns
from tasks.engine.conf import liveness_seconds
from tasks.engine.database import DATABASE_AWAY, database_now, drop_connection
from tasks.engine.liveness import Contact
from tasks.engine.models import Process, ProcessKind
from tasks.engine.models.process import note_id
from tasks.engine.outages import outages

logger = structlog.get_logger(__name__)

#: Heartbeats in the time after which a silent process counts as gone.
BEATS_PER_LIVENESS = 6

#: While the database is away, the next heartbeat is tried this soon: the first process that is back
#: must not find all others silent.
RETRY_SECONDS = 1.0

#: A heartbeat that comes this much later than planned was held up.
LATE_SECONDS = 1.0


class Heartbeat:
    """Keeps this process's row fresh, in a thread: a context manager around the process's work."""

    def __init__(
        self,
        kind: ProcessKind,
        *,
        queues: Collection[str] = (),
        tasks: Collection[str] = (),
        command_pid: int | None = None,
        on_beat: Callable[[UUID], None] = lambda _: None,
    ) -> None:
        """Prepare the heartbeat.

        Args:
            queues: those that a worker serves.
            tasks: those that a worker has actors for.
            command_pid: the process that ends a worker in order.
            on_beat: called after each heartbeat, with the primary key of this process's row.
        """
        self.id = uuid4()
        self.contact = Contact()
        self._kind = kind
        self._queues = sorted(queues)
        self._tasks = sorted(tasks)
        self._command_pid = command_pid
        self._on_beat = on_beat
        self._beaten_at = float("-inf")
        self._held_up_at = float("-inf")
        self._ended = Event()
        self._thread = Thread(target=self._beat_on, name="heartbeat", daemon=True)
        # A command needs no broker but to send what it starts.
        signs_in = kind != ProcessKind.COMMAND
        self._sign_ins = SignIns(self.id, every_seconds=interval_seconds) if signs_in else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def name(self) -> str:
        """The host and process id, to be displayed (see `ProcessQuerySet.named`)."""
        return f"{socket.gethostname()}, process {os.getpid()}"

    @property
    def is_beating(self) -> bool:
        """Whether its thread runs; the database may be away."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Write the first heartbeat and start the thread."""
        self._try_to_beat()
        self._thread.start()
        if self._sign_ins:
            self._sign_ins.start()

    def beat_if_late(self) -> None:
        """Call `beat` if the last heartbeat is old: this process may have been frozen."""
        if monotonic() - self._beaten_at > 2 * interval_seconds():
            self.beat()

    def stop(self) -> None:
        """End the threads and delete the row, and what was noted when it last counted as gone."""
        self._ended.set()
        self._thread.join(1)
        deleted = self._delete_row()
        if self._sign_ins:
            self._sign_ins.stop(told=deleted)

    def _delete_row(self) -> bool:
        for _ in range(2):  # This thread's connection may be older than the database's last start.
            try:
                Process.objects.filter(pk__in=[self.id, note_id(self.id)]).delete()
            except DATABASE_AWAY:  # Then other processes delete it, once it counts as gone.
                drop_connection()
            else:
                return True
        return False

    def was_held_up_since(self, moment: float) -> bool:
        """Say whether this process froze or could write no heartbeat since a `monotonic` moment."""
        late = monotonic() - self._beaten_at > interval_seconds() + LATE_SECONDS
        return late or self._held_up_at >= moment

    def beat(self) -> None:
        """Write a heartbeat.

        Raises:
            OperationalError, InterfaceError: the database is away.
        """
        begun = monotonic()
        if not Process.objects.filter(pk=self.id).update(seen_at=Now()):
            # The first one, or this process counted as gone. Another of its threads may notice that
            # at the same time.
            row = Process(
                pk=self.id,
                kind=self._kind,
                host=socket.gethostname(),
                pid=os.getpid(),
                queues=self._queues,
                tasks=self._tasks,
                signs_in=self._sign_ins is not None,
                command_pid=self._command_pid,
                knows_extended=True,
            )
            Process.objects.bulk_create([row], ignore_conflicts=True)
        self.contact.note(database_now())
        self._beaten_at = begun

    def _beat_on(self) -> None:
        pause, begun = interval_seconds(), monotonic()
        while not self._ended.wait(pause):
            well = self._try_to_beat()
            if not well or monotonic() - begun > pause + LATE_SECONDS:
                self._held_up_at = monotonic()
            pause = interval_seconds() if well else min(RETRY_SECONDS, interval_seconds())
            begun = monotonic()
        connections.close_all()

    def _try_to_beat(self) -> bool:
        beaten_at = self._beaten_at
        try:
            with outages.reporting():
                self.beat()
                self._on_beat(self.id)
        except Exception:
            logger.exception("heartbeat failed")  # The next one may succeed.
        return self._beaten_at != beaten_at


def interval_seconds() -> float:
    return liveness_seconds() / BEATS_PER_LIVENESS
