"""What it means that database or broker are away: said once, waited out, and over."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock

import structlog
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connection
from redis import exceptions as redis
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

#: What the database raises when it is away, or gives up on a lock, a connection or a transaction.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)

#: SQLSTATE of a statement that PostgreSQL gave up: a lock that somebody else holds, a time-out.
LOCKED = {"55P03", "57014"}

#: SQLSTATEs of a server that takes nothing for now, whoever asks: its disk is full, it has no more
#: connections, it can only be read, it is about to stop or to start.
SERVER_REFUSES = {"53100", "53300", "25006", "57P01", "57P02", "57P03"}

#: What the broker's client raises then, and where it is not there.
BROKER_REFUSES = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.OutOfMemoryError,
)

#: Between two looks for a database that is away (seconds).
LOOK_AGAIN_SECONDS = 1.0


class Outages:
    """What is away at the moment, for one process."""

    def __init__(self) -> None:
        self._away: set[str] = set()
        self._lock = Lock()

    def report(self, what: str, error: Exception, *, how: str = "away") -> None:
        """Say that `what` is away, or how else it is not well, unless that has been said."""
        with self._lock:
            if what in self._away:
                return
            self._away.add(what)
        reason = " ".join(str(error).split()) or type(error).__name__
        logger.error(f"{what} {how}", reason=reason)

    def is_away(self, what: str) -> bool:
        """Say whether `what` was away when it was last used."""
        return what in self._away

    def resolve(self, what: str) -> None:
        """Say that `what` is well again, if it was not."""
        with self._lock:
            if what not in self._away:
                return
            self._away.remove(what)
        logger.info(f"{what} back")

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Do something with database and broker; when one is away, say so and do without."""
        try:
            yield
        except DATABASE_AWAY as error:
            self.report("database", error, how=state_of_database(error))
            drop_connection()
        except RedisError as error:
            self.report("broker", error)
        else:
            self.resolve("database")

    @contextmanager
    def skipping_locked(self, what: str) -> Iterator[None]:
        """Do something with a row; when somebody holds a lock on it, say so and do without."""
        try:
            yield
        except OperationalError as error:
            if not is_locked(error):
                raise
            self.report(what, error, how="locked")
        else:
            self.resolve(what)

    def retry_until_database_returns[R](self, do: Callable[[], R], *, until: Event) -> R:
        """Do something with the database; wait while it is away.

        Args:
            do: outside of any transaction; may be called many times.
            until: when this is set, it is not waited for any longer.

        Raises:
            OperationalError, InterfaceError, InternalError: it is away, and `until` is set.
        """
        while True:
            try:
                done = do()
            except DATABASE_AWAY as error:
                self.report("database", error, how=state_of_database(error))
                drop_connection()
                if until.wait(LOOK_AGAIN_SECONDS):
                    raise
            else:
                self.resolve("database")
                return done


def state_of_database(error: Exception) -> str:
    """Say in a word what is the matter: a lock, or nobody is there."""
    return "locked" if is_locked(error) else "away"


def is_locked(error: Exception) -> bool:
    """Say whether the database is there, and gave up on a lock that somebody else holds."""
    return getattr(error.__cause__, "sqlstate", None) in LOCKED


def refuses_everyone(error: BaseException) -> bool:
    """Say whether database or broker is there, or was, and takes nothing from anybody for now."""
    if isinstance(error, BROKER_REFUSES):
        return True
    return getattr(error.__cause__, "sqlstate", None) in SERVER_REFUSES


def check_connection() -> None:
    """Have this thread's connection work before a transaction is opened on it.

    A server that has been restarted since the last one left a dead connection behind.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    if connection.in_atomic_block:  # It is in use.
        return
    connection.close_if_unusable_or_obsolete()
    connection.close_if_health_check_failed()
    connection.ensure_connection()


def drop_connection() -> None:
    """Have this thread connect anew before it next uses the database."""
    with suppress(DatabaseError, InterfaceError):
        connection.close()


#: This process's.
outages = Outages()
