"""Outages of the database and the broker: reported once, waited for, and resolved."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from time import monotonic

import structlog
from django.db import OperationalError
from redis.exceptions import RedisError

from tasks.engine.database import DATABASE_AWAY, drop_connection, is_locked, refuses_writes
from tasks.engine.words import reason

logger = structlog.get_logger(__name__)

#: Between two attempts to use a database that is away.
RETRY_SECONDS = 1.0


class Outages:
    """What is away, as far as one process knows."""

    def __init__(self) -> None:
        self._away: set[str] = set()
        self._resolved_at: dict[str, float] = {}
        #: What has refused a write: that it can be read does not mean that it is back.
        self._refusing_writes: set[str] = set()
        self._lock = Lock()

    def report(
        self, what: str, error: Exception, *, how: str = "away", begun: float = math.inf
    ) -> None:
        """Log an outage of `what` once.

        Args:
            how: what is wrong with it.
            begun: when (`monotonic`) the attempt began that failed; if another thread has found
                `what` back since, this one comes too late.
        """
        with self._lock:
            if refuses_writes(error):
                self._refusing_writes.add(what)
            if what in self._away or begun <= self._resolved_at.get(what, -math.inf):
                return
            self._away.add(what)
        logger.error(f"{what} {how}", reason=reason(error))

    def is_away(self, what: str) -> bool:
        """Say whether `what` was away when it was last used."""
        return what in self._away

    def resolve(self, what: str, *, written: bool = True) -> None:
        """Log that `what` is back, if it was away.

        Args:
            written: whether something was written to it for certain.
        """
        with self._lock:
            if what not in self._away or (what in self._refusing_writes and not written):
                return
            self._away.remove(what)
            self._refusing_writes.discard(what)
            self._resolved_at[what] = monotonic()
        logger.info(f"{what} back")

    @contextmanager
    def reporting(self, *, written: bool = True) -> Iterator[None]:
        """Use the database and the broker in a block; report an outage instead of raising it.

        Args:
            written: whether the block writes to the database for certain.
        """
        try:
            yield
        except DATABASE_AWAY as error:
            self._report_database(error)
        except RedisError as error:
            self.report("broker", error)
        else:
            self.resolve("database", written=written)

    @contextmanager
    def skipping_locked(self, what: str) -> Iterator[None]:
        """Use a row in a block; if it is locked, report that instead of raising it."""
        try:
            yield
        except OperationalError as error:
            if not is_locked(error):
                raise
            self.report(what, error, how="locked")
        else:
            self.resolve(what)

    def retry_until_database_returns[R](
        self, do: Callable[[], R], *, until: Event, written: bool = True
    ) -> R:
        """Call `do`, outside of any transaction, until the database is not away; return its value.

        Args:
            written: whether `do` writes to the database for certain.

        Raises:
            OperationalError, InterfaceError, InternalError: it is away, and `until` is set.
        """
        while True:
            try:
                done = do()
            except DATABASE_AWAY as error:
                self._report_database(error)
                if until.wait(RETRY_SECONDS):
                    raise
            else:
                self.resolve("database", written=written)
                return done

    def _report_database(self, error: Exception) -> None:
        self.report("database", error, how="locked" if is_locked(error) else "away")
        drop_connection()


outages = Outages()
