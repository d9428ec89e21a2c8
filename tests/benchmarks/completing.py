"""Case: what the sweep's index asks of whoever completes a todo."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import batched
from time import perf_counter

from django.db import connection

from accounts.models import User
from tests.benchmarks import ways
from tests.benchmarks.figures import Figure, ratios
from tests.benchmarks.measuring import in_turns
from tests.benchmarks.postgresql import Server
from todos.models import Todo
from todos.services import TodoService

#: The same todos with the indexes of the keys alone.
TWIN = f"""
    DROP TABLE IF EXISTS twin;
    CREATE TABLE twin (LIKE todos_todo INCLUDING ALL EXCLUDING INDEXES);
    ALTER TABLE twin ADD PRIMARY KEY (id);
    CREATE INDEX ON twin (user_id);
    INSERT INTO twin ({ways.FIELDS}) SELECT {ways.FIELDS} FROM todos_todo ORDER BY id;
"""

#: Todos completed in one table before as many are in the other: what disturbs one disturbs both.
TURN = 500

#: Prime, so that the todos to complete lie all over the table.
STRIDE = 7919


def completing(stage: Server) -> list[Figure]:
    """Complete todos one by one, and the same ones of a twin of the table without the index.

    As people do it, through the service. The disk is not waited for: that would hide the
    difference.
    """
    stage.fill(replace(stage.size, one_in=None))
    stage.execute(TWIN)
    stage.settle()
    ids = [1 + STRIDE * number % stage.size.todos for number in range(stage.size.todos // 10)]
    rounds = batched(ids, len(ids) // stage.runs)
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    [pairs] = in_turns(stage.runs, lambda: complete_in_both(next(rounds)))
    connection.close()
    stage.execute("DROP TABLE twin")
    here, there = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    note = f"{1e6 * sum(here) / len(ids):.0f} µs each"
    what = "completing a todo: time, by that without index"
    return [ratios(what, here, there, note=note, at_most=1.1)]


def complete_in_both(ids: Sequence[int]) -> tuple[float, float]:
    """Complete the same todos in both tables; return how long each took (seconds)."""
    here = there = 0.0
    owners = dict(Todo.objects.filter(pk__in=ids).values_list("pk", "user_id"))
    for turn in batched(ids, TURN):
        todos = [(User(pk=owners[pk]), pk) for pk in turn]
        here += complete(todos)
        swap()
        there += complete(todos)
        swap()
    return here, there


def swap() -> None:
    """Have the table and its twin change places."""
    with connection.cursor() as cursor:
        for old, new in (("todos_todo", "other"), ("twin", "todos_todo"), ("other", "twin")):
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def complete(todos: Sequence[tuple[User, int]]) -> float:
    """Complete todos one by one; return how long it took (seconds)."""
    started = perf_counter()
    for user, pk in todos:
        assert TodoService.complete(user=user, todo_id=pk).completed_at
    return perf_counter() - started
