"""Somebody else's transactions, which hold rows."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import psycopg
from django.db import connection


@contextmanager
def locked(table: str, *pks: int) -> Iterator[psycopg.Connection]:
    """Hold rows from another connection until the block ends, as a forgotten transaction does.

    Yields:
        The connection: to end its transaction sooner, roll back.
    """
    settings = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    address = {name: settings[name] for name in names if name in settings}
    with psycopg.connect(**address) as holder:
        holder.execute(f"SELECT FROM {table} WHERE id = ANY(%s) FOR UPDATE".encode(), [list(pks)])
        yield holder
        holder.rollback()


@contextmanager
def short_of_patience() -> Iterator[None]:
    """Have this thread's connection wait only a moment for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")


def in_another_connection[T](work: Callable[[], T]) -> T:
    """Do `work` on a connection of its own, closed when it is done."""
    try:
        return work()
    finally:
        connection.close()


def wait_until_blocked(
    sweep: Future[Any], *, by: psycopg.Connection | None = None, seconds: float = 10
) -> None:
    """Return when another connection waits for a lock of `by`; by default, of this one."""
    holder = by.info.backend_pid if by else None
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                # Not pg_stat_activity: that is read once and then stands still in a transaction.
                "SELECT 1 FROM pg_locks"
                " WHERE NOT granted"
                " AND coalesce(%s, pg_backend_pid()) = ANY(pg_blocking_pids(pid))",
                [holder],
            )
            if cursor.fetchone():
                return
        assert not sweep.done(), "the sweep did not wait for the row"
        sleep(0.01)
    raise AssertionError("the sweep never came to the row")
