"""An account as the ledger keeps it: as JSON, in the transactions that it accounts for."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction


class Stopped(Exception):  # noqa: N818
    """Raised where a step would begin."""


class Ledger:
    """A run's account.

    Attributes:
        account: what the last step wrote.
        reads: how many readings there were outside of steps.
        changes: how many steps have changed the account.
        before_step: called before each step.
    """

    def __init__(self, run_id: int | None = 1, *, lock_timeout: int = 200) -> None:
        """Begin; `lock_timeout` is in milliseconds."""
        self.run_id = run_id
        self.account: dict[str, Any] = {}
        self.reads = 0
        self.changes = 0
        self.before_step: Callable[[], None] = lambda: None
        self._lock_timeout = lock_timeout

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Open a transaction on the account, in which no lock is waited for long."""
        self.before_step()
        account = json.loads(json.dumps(self.account))
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = {self._lock_timeout}")
            yield account
        after = json.loads(json.dumps(account))
        self.changes += after != self.account
        self.account = after

    def read[R](self, do: Callable[[], R]) -> R:
        """Do a reading."""
        self.reads += 1
        return do()
