"""Says once that something is away, and once that it is back."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

import structlog
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connection
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

#: What the database raises when it is away, or gives up on a lock, a connection or a transaction.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)


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

    def over(self, what: str) -> None:
        """Say that `what` is well again, if it was not."""
        with self._lock:
            if what not in self._away:
                return
            self._away.remove(what)
        logger.info(f"{what} back")

    @contextmanager
    def tolerate(self) -> Iterator[None]:
        """Do something with database and broker; when one is away, say so and do without."""
        try:
            yield
        except DATABASE_AWAY as error:
            self.report("database", error)
            drop_connection()
        except RedisError as error:
            self.report("broker", error)
        else:
            self.over("database")


def drop_connection() -> None:
    """Have this thread connect anew before it next uses the database."""
    with suppress(DatabaseError, InterfaceError):
        connection.close()


#: This process's.
outages = Outages()
