"""Somebody else's transactions, which hold rows."""

from collections.abc import Iterator
from contextlib import contextmanager

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
    """Have this thread's connection give up on a lock after a moment."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
