"""Transactions that hold locks others wait for."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

#: How long (ms) such a transaction may stand still before PostgreSQL takes it back. Only a process
#: that is frozen, or cut off, comes near that; nobody else should have to wait for it.
LONGEST_STANDSTILL = 10_000


@contextmanager
def short_transaction() -> Iterator[None]:
    """Open a transaction that ends by itself, undone, if this process is held up in it."""
    with transaction.atomic(durable=True):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
                    [str(LONGEST_STANDSTILL)],
                )
        yield
