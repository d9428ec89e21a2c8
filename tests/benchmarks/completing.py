"""Case: what the sweep's index asks of whoever completes a todo."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import batched
from time import perf_counter

import psycopg
from psycopg.rows import TupleRow

from tests.benchmarks import ways
from tests.benchmarks.figures import Figure, ratios
from tests.benchmarks.measuring import in_turns
from tests.benchmarks.postgresql import Server

#: The same todos with the indexes of the keys alone.
TWIN = f"""
    DROP TABLE IF EXISTS twin;
    CREATE TABLE twin (LIKE todos_todo INCLUDING ALL EXCLUDING INDEXES);
    ALTER TABLE twin ADD PRIMARY KEY (id);
    CREATE INDEX ON twin (user_id);
    INSERT INTO twin ({ways.FIELDS}) SELECT {ways.FIELDS} FROM todos_todo ORDER BY id;
"""
COMPLETE = "UPDATE {} SET completed_at = now() WHERE id = %s AND completed_at IS NULL"

#: Todos completed in one table before as many are in the other: what disturbs one disturbs both.
TURN = 500

#: Prime, so that the todos to complete lie all over the table.
STRIDE = 7919


def completing(stage: Server) -> list[Figure]:
    """Complete todos one by one, and the same ones of a twin of the table without the index.

    The disk is not waited for: that would hide the difference.
    """
    stage.fill(replace(stage.size, one_in=None))
    stage.execute(TWIN)
    stage.settle()
    ids = [1 + STRIDE * number % stage.size.todos for number in range(stage.size.todos // 5)]
    rounds = batched(ids, len(ids) // stage.runs)
    with psycopg.connect(str(stage.address), autocommit=True) as database:
        database.execute("SET synchronous_commit = off")
        [pairs] = in_turns(stage.runs, lambda: complete_in_both(database, next(rounds)))
    stage.execute("DROP TABLE twin")
    here, there = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    note = f"{1e6 * sum(here) / len(ids):.0f} µs each"
    return [
        ratios(
            "completing a todo: time, by that without index", here, there, note=note, at_most=1.1
        )
    ]


def complete_in_both(
    database: psycopg.Connection[TupleRow], ids: Sequence[int]
) -> tuple[float, float]:
    """Complete the same todos in both tables; return how long each took (seconds)."""
    here = there = 0.0
    for turn in batched(ids, TURN):
        here += complete(database, "todos_todo", turn)
        there += complete(database, "twin", turn)
    return here, there


def complete(database: psycopg.Connection[TupleRow], table: str, ids: Sequence[int]) -> float:
    """Complete todos one by one; return how long it took (seconds)."""
    statement = COMPLETE.format(table).encode()
    started = perf_counter()
    for todo in ids:
        assert database.execute(statement, [todo]).rowcount == 1
    return perf_counter() - started
