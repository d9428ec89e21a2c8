"""The database: its clock, short transactions, and how it is away or locked."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from django.db import (
    DatabaseError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import CharField, DateTimeField, Func, Value
from django.utils import timezone

#: What the database raises when it is away, or gives up a lock, a connection or a transaction.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)

#: SQLSTATEs of a statement that PostgreSQL gave up: for a lock, or a timeout.
LOCKED = {"55P03", "57014"}

#: SQLSTATEs of a server that refuses every client for now: its disk is full, it has no connections
#: left, it is read-only, it is about to stop or to start.
SERVER_REFUSES = {"53100", "53300", "25006", "57P01", "57P02", "57P03"}

#: Of a server that accepts no writes, or has no means left (class 53): of the statement nothing was
#: done, or it would have answered otherwise.
READ_ONLY_STATE, NO_MEANS_CLASS = "25006", "53"

#: A moment that is later than now by more than this was written by a clock that was ahead.
CLOCK_TOLERANCE = timedelta(minutes=1)

#: Of a short transaction.
SHORT_TRANSACTION_SETTINGS = {
    # How long (ms) to wait for a lock of another transaction. One that was forgotten must not stop
    # a run: the run skips its rows, and returns to them later.
    "lock_timeout": "2000",
    # How long (ms) one statement may take. None comes near it on a healthy database.
    "statement_timeout": "30000",
    # How long (ms) it may be idle before PostgreSQL rolls it back. Only a process that is frozen,
    # or cut off, comes near that; no other transaction should have to wait for its locks.
    "idle_in_transaction_session_timeout": "10000",
    # Compiling a statement that works on a short range takes longer than the statement.
    "jit": "off",
}
#: Not to wait for the disk at the end is safe for a step of a run: if the server's machine dies at
#: once, the run's work and its progress are both lost, and it continues from the step before: an
#: attempt that remembers more is ended (`Execution.step`). The end of the run, a transaction that
#: does wait, makes all steps durable.
NOT_WAITING_FOR_DISK = {"synchronous_commit": "off"}


@contextmanager
def short_transaction(*, wait_for_disk: bool = False) -> Iterator[None]:
    """Open a transaction that the server rolls back if this process is held up in it.

    Args:
        wait_for_disk: what it writes must survive a crash of the server's machine, as something
            outside the database follows from it.

    Raises:
        OperationalError: a lock was held for 2 s, or a statement took 30 s.
    """
    settings = SHORT_TRANSACTION_SETTINGS | ({} if wait_for_disk else NOT_WAITING_FOR_DISK)
    with transaction.atomic(durable=True):
        _on_postgresql("; ".join(f"SET LOCAL {name} = {settings[name]}" for name in settings))
        yield


@contextmanager
def exclusive_transaction(what: str) -> Iterator[None]:
    """Open a transaction that excludes others of the same name, for work without a row to lock."""
    with transaction.atomic():
        # SQLite has one writer at a time anyway.
        _on_postgresql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", what)
        yield


@contextmanager
def statement_timeout(milliseconds: int) -> Iterator[None]:
    """Limit how long a statement may take, on PostgreSQL."""
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic():
        _on_postgresql(f"SET LOCAL statement_timeout = {milliseconds:d}")
        yield


def _on_postgresql(statement: str, *values: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)


def database_now() -> datetime:
    """Return the database's time, in UTC; on SQLite the machine's, which all its users share."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        # Not now(), which stands still for as long as a transaction lasts.
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def clock() -> Func | Value:
    """Return an expression for a query: what `database_now` returns."""
    if connection.vendor != "postgresql":
        return Value(timezone.now(), output_field=DateTimeField())
    return Func(function="clock_timestamp", output_field=DateTimeField())


def is_locked(error: Exception) -> bool:
    """Say whether the database works, and gave up a statement for a lock or a timeout."""
    return getattr(error.__cause__, "sqlstate", None) in LOCKED


def refuses_everyone(error: BaseException) -> bool:
    """Say whether the server was reached, and refuses every client for now."""
    return getattr(error.__cause__, "sqlstate", None) in SERVER_REFUSES


def refuses_writes(error: BaseException) -> bool:
    """Say whether the server has answered that it does not execute this statement for now."""
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return state == READ_ONLY_STATE or state.startswith(NO_MEANS_CLASS)


def read_only_setting() -> Func | Value:
    """Return an expression for a query: `on` if the database is read-only for whoever asks."""
    if connection.vendor != "postgresql":
        return Value("off")
    name = Value("transaction_read_only")
    return Func(name, function="current_setting", output_field=CharField())


def is_read_only() -> bool:
    """Ask whether the database is read-only for this connection."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        return bool(cursor.fetchone() == ("on",))


def check_connection() -> None:
    """Make sure that this thread's connection works, before a transaction is opened on it.

    A restart of the server since the last transaction leaves a dead connection.

    Raises:
        OperationalError, InterfaceError: the database is away.
    """
    if connection.in_atomic_block:  # It is in use.
        return
    connection.close_if_unusable_or_obsolete()
    connection.close_if_health_check_failed()
    connection.ensure_connection()


def drop_connection() -> None:
    """Close this thread's connection; its next use of the database opens another."""
    with suppress(DatabaseError, InterfaceError):
        connection.close()
