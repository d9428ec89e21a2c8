"""Where it is measured: a database, filled with people and todos."""

import logging
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import django


@dataclass(frozen=True)
class Size:
    """How much there is in a database.

    Attributes:
        users: how many people.
        todos: how many todos.
        one_in: one todo in this many is completed; None for none.
        within: of the first todos alone, this many; None for all.
    """

    users: int
    todos: int
    one_in: int | None = 2
    within: int | None = None


class Stage(Protocol):
    """A database that Django is set up for.

    Attributes:
        size: what there is in it unless a case says otherwise.
        runs: how often to measure.
        address: of PostgreSQL; or SQLite's file.
    """

    size: Size
    runs: int
    address: str | Path

    def fill(self, size: Size) -> None:
        """Have people with todos, always the same, and nothing in the trash."""

    def settle(self) -> None:
        """Leave nothing to be done of what came before."""


def set_up() -> None:
    """Set Django up as the environment says, and make the tables."""
    from django.core.management import call_command  # noqa: PLC0415  (needs the settings)

    django.setup()
    # The row of every run.
    logging.disable(logging.INFO)
    call_command("migrate", verbosity=0)


def in_own_process[**P, R](function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in a process of its own, with Django set up as the environment says."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=set_up) as process:
        return process.submit(function, *args, **kwargs).result()


def say(text: str) -> None:
    """Tell whoever waits how far it has come."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
