"""Stores of checkpoints: what one has to do, and one in memory."""

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
        """Open a transaction; yield what earlier steps have stored, to be changed.

        If the block succeeds, that is kept together with what the block did to the database;
        otherwise neither is. It may raise instead of yielding, if the operation is to stop for now.
        """

    def read[R](self, do: Callable[[], R]) -> R:
        """Read outside of any step; perhaps again, if the database is away for a while."""


class InMemoryStore:
    """For an operation that is not continued, and may be part of a larger transaction."""

    run_id: int | None = None

    def __init__(self) -> None:
        self._stored: dict[str, Any] = {}

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        stored = deepcopy(self._stored)
        with transaction.atomic():
            yield stored
        self._stored = stored

    def read[R](self, do: Callable[[], R]) -> R:
        return do()
