"""Where checkpoints are stored; an attempt at a run is such a store as well."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from typing import Any, Protocol

from django.db import transaction


class CheckpointStore(Protocol):
    """Keeps the checkpoint of a bulk operation, so that it can be continued."""

    @property
    def run_id(self) -> int | None:
        """The run that the operation is part of."""

    def step(self) -> AbstractContextManager[dict[str, Any]]:
        """Open a transaction.

        Yields what earlier steps have stored, to be changed. It is kept if the block ends well, and
        with it whatever the block did to the database; otherwise neither is. May raise instead of
        yielding, when the operation is to stop for now.
        """

    def read[R](self, do: Callable[[], R]) -> R:
        """Return what a reading outside of any step returns.

        It may be done again: when the database is away for a while, that is waited out.
        """


class InMemoryStore:
    """Serves an operation that is not continued, and may be part of a larger transaction."""

    run_id: int | None = None

    def __init__(self) -> None:
        self._stored: dict[str, Any] = {}

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Open a transaction."""
        stored = deepcopy(self._stored)
        with transaction.atomic():
            yield stored
        self._stored = stored

    def read[R](self, do: Callable[[], R]) -> R:
        """Do a reading."""
        return do()
