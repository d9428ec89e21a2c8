"""The transactions in which runs get on."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

SETTINGS = {
    # How long (ms) it may stand still before PostgreSQL takes it back. Only a process that is
    # frozen, or cut off, comes near that; nobody else should have to wait for its locks.
    "idle_in_transaction_session_timeout": "10000",
    # Not to wait for the disk at its end is safe: if the server's machine dies at once, what the
    # run did and its account of it are both as they were before, and it goes on from there. The end
    # of the run, a transaction that does wait, makes all of them safe.
    "synchronous_commit": "off",
    # Compiling a statement that works on a short range takes longer than the statement.
    "jit": "off",
}
_CONFIGURE = "; ".join(f"SET LOCAL {name} = {value}" for name, value in SETTINGS.items())


@contextmanager
def short_transaction() -> Iterator[None]:
    """Open a transaction that ends by itself, undone, if this process is held up in it."""
    with transaction.atomic(durable=True):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(_CONFIGURE)
        yield


@contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
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
