"""Somebody who edits todos meanwhile, in a process of their own, and how long they have to wait."""

import random
import re
import sqlite3
import statistics
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import psycopg

#: Between two edits (seconds).
BREATH = 0.001

LOOK = "SELECT title FROM todos_todo WHERE id = {}"
EDIT = "UPDATE todos_todo SET title = 'edited' WHERE id = {}"


class Waits:
    """How long each edit took (seconds)."""

    def __init__(self) -> None:
        self.all: list[float] = []

    @property
    def p99(self) -> float:
        """What 99 % took less than. Of few edits that all had to wait, the longest."""
        if len(self.all) < 100:
            return max(self.all, default=0.0)
        return statistics.quantiles(self.all, n=100)[98]


@contextmanager
def editing(database: str | Path, todos: int) -> Iterator[Waits]:
    """Have somebody edit any of the todos, one after the other, open or completed.

    Args:
        database: PostgreSQL's address, or SQLite's file.
        todos: the highest id.

    Yields:
        What is to hold, once the block has ended, the edits that began within it.
    """
    waits = Waits()
    spawn = get_context("spawn")
    here, there = spawn.Pipe()
    person = spawn.Process(target=_edit, args=(database, todos, there))
    person.start()
    there.close()
    try:
        here.recv()
        started = perf_counter()
        yield waits
        ended = perf_counter()
        here.send("enough")
        # This clock is the same in all processes.
        waits.all += [wait for began, wait in here.recv() if started <= began < ended]
    finally:
        here.close()
        person.join()


def _edit(database: str | Path, todos: int, pipe: Connection) -> None:
    chance = random.Random(1)  # noqa: S311  (picks todos, keeps no secret)
    edits: list[tuple[float, float]] = []
    mark = "?" if isinstance(database, Path) else "%s"
    with closing(_connected(database)) as connection:
        pipe.send("ready")
        while not pipe.poll():
            todo = [chance.randint(1, todos)]
            # What is gone from their list, they do not edit.
            if connection.execute(LOOK.format(mark), todo).fetchone():
                began = perf_counter()
                connection.execute(EDIT.format(mark), todo)
                edits.append((began, perf_counter() - began))
            sleep(BREATH)
    pipe.send(edits)


def _connected(database: str | Path) -> Any:
    """Connect as the web pages do, whose edits are a transaction each."""
    if isinstance(database, str):
        return psycopg.connect(database, autocommit=True)
    connection = sqlite3.connect(database, timeout=20, isolation_level=None)
    connection.execute("PRAGMA synchronous=NORMAL")
    # What the table's constraints call; Django brings it along.
    connection.create_function("REGEXP", 2, lambda pattern, text: bool(re.search(pattern, text)))
    return connection
