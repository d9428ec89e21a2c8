"""The database's clock, and the short transactions in which runs progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

#: What is later than now by more than this was written by a clock that was ahead.
CLOCK_TOLERANCE = timedelta(minutes=1)


SETTINGS = {
    # How long (ms) to wait for a lock that somebody else holds. Whoever forgets to end their
    # transaction must not stop a run: it passes over their rows, and comes back to them.
    "lock_timeout": "2000",
    # How long (ms) one statement may take. None comes near it on a database that is well.
    "statement_timeout": "30000",
    # How long (ms) it may stand still before PostgreSQL takes it back. Only a process that is
    # frozen, or cut off, comes near that; nobody else should have to wait for its locks.
    "idle_in_transaction_session_timeout": "10000",
    # Compiling a statement that works on a short range takes longer than the statement.
    "jit": "off",
}
#: Not to wait for the disk at its end is safe for a step of a run: if the server's machine dies at
#: once, what the run did and its account of it are both as they were before, and it goes on from
#: there: an attempt that remembers more begins anew (`Execution.step`). The end of the run, a
#: transaction that does wait, makes all of them safe.
NOT_WAITING = {"synchronous_commit": "off"}


@contextmanager
def short_transaction(*, wait_for_disk: bool = False) -> Iterator[None]:
    """Open a transaction that ends by itself, undone, if this process is held up in it.

    Args:
        wait_for_disk: what it writes must outlast the server's machine, as something outside the
            database is to follow from it.

    Raises:
        OperationalError: a lock was not to be had within 2 s, or a statement took 30 s.
    """
    settings = SETTINGS if wait_for_disk else SETTINGS | NOT_WAITING
    with transaction.atomic(durable=True):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "; ".join(f"SET LOCAL {name} = {settings[name]}" for name in settings)
                )
        yield


@contextmanager
def exclusive_transaction(what: str) -> Iterator[None]:
    """Open a transaction that no other of the same name is open beside, in any process.

    Args:
        what: a name, for whatever has no row of its own to lock.
    """
    with transaction.atomic():
        # SQLite has one writer at a time anyway.
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [what])
        yield


@contextmanager
def statement_timeout(milliseconds: int) -> Iterator[None]:
    """Have PostgreSQL give up on a statement that takes too long.

    Args:
        milliseconds: how long it may take.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {milliseconds:d}")
        yield


def database_now() -> datetime:
    """Return the database's time, in UTC.

    On SQLite this is the machine's own, which everyone who can open the file shares.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        # Not now(), which stands still for as long as a transaction lasts.
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
