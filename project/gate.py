"""Keeps web requests from waiting for a database that is away: they are answered at once instead.

A server that is frozen, or behind a network that swallows, says nothing: whoever waits for it does
so for long, and soon all threads of the web do. So one thread of each process looks, when a request
takes its time, whether the database answers at all. If it does not, that thread shuts the gate:
no other request enters, and it alone looks whether the database is back. It ends all connections
of the web's threads, also of idle ones: after a fail-over they lead to nowhere. A server that
answers slowly, as over a bad network, gets more time.

Workers and schedulers have no gate: they wait.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from os import dup
from threading import Event, Lock, Thread, get_ident
from time import monotonic
from typing import Any
from weakref import WeakSet

import psycopg
import structlog
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from project.asking import SLICE_SECONDS, Asker
from tasks.engine.errors import error_name
from tasks.engine.outages import outages

logger = structlog.get_logger(__name__)

#: A request that takes longer than this has the database looked at.
SUSPICIOUS_SECONDS = 0.3

#: How long the database may take for `SELECT 1` before it counts as away.
ANSWER_SECONDS = 0.4

#: An answer that takes longer than this is slow. For a minute after it, the database may take so
#: many times as long for an answer, and for a connection.
SLOW_SECONDS = 0.1
PATIENT_FOR_SECONDS = 60.0
PATIENCE = 5

#: How often to look at requests, while there are any.
TICK_SECONDS = 0.1

#: How long a request waits for a new connection: to each host, if there are several, as long as
#: libpq waits at least.
CONNECT_SECONDS = 0.7
CONNECT_SECONDS_EACH = 2

#: Between two attempts to reach a database that is away, and how long one of them waits.
RETRY_SECONDS = 0.5
ATTEMPT_SECONDS = 5.0


class Gate:
    """The gate of one process.

    Attributes:
        shut_since: since when the database has been away; None if it is not.
    """

    def __init__(self) -> None:
        self.shut_since: datetime | None = None
        self._is_enabled = False
        self._inside: dict[int, float] = {}
        self._wrappers: WeakSet[BaseDatabaseWrapper] = WeakSet()
        self._lock = Lock()
        self._busy = Event()
        self._hurry = Event()
        self._shut = Event()
        self._suspect: Exception | None = None
        self._watcher: Thread | None = None
        self._asker = Asker(self._look)
        self._probe: BaseDatabaseWrapper | None = None
        self._slow_at = float("-inf")

    def enable(self) -> None:
        """Watch requests from now on: called where a web server loads the site."""
        self._is_enabled = connections[DEFAULT_DB_ALIAS].vendor == "postgresql"

    @contextmanager
    def pass_through(self) -> Iterator[None]:
        """Count this thread's request among those inside, while the block lasts."""
        if not self._is_enabled:
            yield
            return
        me = get_ident()
        with self._lock:
            self._inside[me] = monotonic()
            self._wrappers.add(connections[DEFAULT_DB_ALIAS])  # This thread's own.
            if self._watcher is None:  # Not earlier: a process that forks would lose it.
                self._watcher = Thread(target=self._watch, name="gate", daemon=True)
                self._watcher.start()
        self._busy.set()
        try:
            yield
        finally:
            with self._lock:
                del self._inside[me]

    def has_me(self) -> bool:
        """Say whether this thread works on a request."""
        return get_ident() in self._inside

    def suspect(self, error: Exception) -> None:
        """Have the database looked at now: it has failed a request."""
        self._suspect = error
        self._hurry.set()
        self._busy.set()

    def connect(self, connect: Callable[[], Any], *, hosts: int) -> Any:
        """Connect in a thread, which is left to itself if that takes too long.

        Raises:
            OperationalError: the database is away, as far as this process knows.
        """
        if self._shut.is_set():
            raise OperationalError("the database is away")
        seconds = CONNECT_SECONDS * self._patience()
        if hosts > 1:
            seconds = max(seconds, CONNECT_SECONDS_EACH * hosts)
        attempt = Connecting(connect)
        for _ in range(round(seconds / SLICE_SECONDS)):
            if attempt.ended.wait(SLICE_SECONDS) or self._shut.is_set():
                break
        return attempt.take()

    def _watch(self) -> None:
        self._asker.ask(0)  # Connects ahead: when the database is slow, that takes longest.
        while True:
            self._busy.wait()
            self._hurry.wait(TICK_SECONDS)
            self._hurry.clear()
            now = monotonic()
            with self._lock:
                times = list(self._inside.values())
                if not times and self._suspect is None:
                    self._busy.clear()
            if self._suspect or (times and now - min(times) >= SUSPICIOUS_SECONDS):
                self._examine()

    def _examine(self) -> None:
        suspect, self._suspect = self._suspect, None
        fault = self._asker.ask(ANSWER_SECONDS * self._patience())
        if fault == "":
            if suspect:
                logger.warning("connection to the database lost", error=error_name(suspect))
            return
        self.shut_since = datetime.now(UTC)
        self._shut.set()
        outages.report("database", OperationalError(fault or "it does not answer"))
        self._end_connections()
        while self._asker.ask(ATTEMPT_SECONDS) != "":
            Event().wait(RETRY_SECONDS)
        self._suspect = None
        self._shut.clear()
        self.shut_since = None
        outages.resolve("database")

    def _end_connections(self) -> None:
        with self._lock:
            wrappers = list(self._wrappers)
        for wrapper in [*wrappers, self._probe]:
            if wrapper and wrapper.connection is not None:
                end(wrapper.connection)

    def _look(self) -> str:
        """Ask the database; return what is wrong with it, empty if it answers."""
        if self._probe is None:
            self._probe = connections[DEFAULT_DB_ALIAS].copy()
            self._probe.settings_dict["OPTIONS"]["connect_timeout"] = CONNECT_SECONDS_EACH
        fault = ""
        for _ in range(2):  # The connection of the last time may have been closed since.
            was_open = self._probe.connection is not None
            try:
                self._probe.ensure_connection()
                self._measure(self._probe)
            except (DatabaseError, InterfaceError) as error:
                fault = str(error) or error_name(error)
                with suppress(DatabaseError, InterfaceError):
                    self._probe.close()
                if was_open:
                    continue
            else:
                return ""
            break
        return fault

    def _measure(self, probe: BaseDatabaseWrapper) -> None:
        """Ask on a connection that stands, and remember if the answer was slow."""
        asked = monotonic()
        with probe.cursor() as cursor:
            cursor.execute("SELECT 1")
        if monotonic() - asked > SLOW_SECONDS:
            self._slow_at = monotonic()

    def _patience(self) -> int:
        return PATIENCE if monotonic() - self._slow_at < PATIENT_FOR_SECONDS else 1


class Connecting:
    """An attempt to connect, in a thread of its own."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self.ended = Event()
        self._connect = connect
        self._lock = Lock()
        self._is_given_up = False
        self._connection: Any = None
        self._error: BaseException | None = None
        Thread(target=self._run, name="connecting", daemon=True).start()

    def take(self) -> Any:
        """Return the connection, or raise why there is none; one that comes later is closed."""
        with self._lock:
            if self._connection is not None:
                return self._connection
            self._is_given_up = True
        if self._error is None:
            raise OperationalError("the database does not answer")
        raise self._error

    def _run(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            self._error = error
        else:
            with self._lock:
                if not self._is_given_up:
                    self._connection = connection
            if self._connection is None:
                connection.close()
        self.ended.set()


def end(connection: psycopg.Connection[Any]) -> None:
    """Have whoever waits on a connection see its end, in whatever thread."""
    with (
        suppress(OSError, psycopg.Error),
        socket.socket(fileno=dup(connection.pgconn.socket)) as wire,
    ):
        wire.shutdown(socket.SHUT_RDWR)


gate = Gate()
