"""The cases, by name."""

from collections.abc import Callable

from tests.benchmarks.completing import completing
from tests.benchmarks.figures import Figure
from tests.benchmarks.on_sqlite import on_sqlite
from tests.benchmarks.postgresql import Server
from tests.benchmarks.speed import (
    beside_one_delete,
    beside_one_move,
    beside_the_long_loop,
    beside_the_loop,
    few_among_many,
    purging,
    undoing,
)
from tests.benchmarks.waiting import edits, growth, longest_transaction, other_ways

CASES: dict[str, Callable[[Server], list[Figure]]] = {
    "delete": beside_one_delete,
    "move": beside_one_move,
    "loop": beside_the_loop,
    "long-loop": beside_the_long_loop,
    "transactions": longest_transaction,
    "memory": growth,
    "few": few_among_many,
    "edits": edits,
    "completing": completing,
    "undo": undoing,
    "purge": purging,
    "ways": other_ways,
    "sqlite": on_sqlite,
}
