"""A store of checkpoints like that of a run: they are kept as JSON."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction


class Stopped(Exception):  # noqa: N818
    """Raised where a step would begin."""


class JsonStore:
    """Keeps a checkpoint as JSON, and watches.

    Attributes:
        stored: what the last step stored.
        reads: how many readings there were outside of steps.
        changes: how many steps have changed what is stored.
        before_step: called before each step.
    """

    def __init__(self, run_id: int | None = 1, *, lock_timeout_ms: int = 200) -> None:
        self.run_id = run_id
        self.stored: dict[str, Any] = {}
        self.reads = 0
        self.changes = 0
        self.before_step: Callable[[], None] = lambda: None
        self._lock_timeout_ms = lock_timeout_ms

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Open a transaction in which no lock is waited for long."""
        self.before_step()
        stored = json.loads(json.dumps(self.stored))
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = {self._lock_timeout_ms}")
            yield stored
        after = json.loads(json.dumps(stored))
        self.changes += after != self.stored
        self.stored = after

    def read[R](self, do: Callable[[], R]) -> R:
        """Do a reading."""
        self.reads += 1
        return do()
