"""Cases: what the sweep, and other ways, ask of everyone else and of the machine."""

from dataclasses import replace
from functools import partial

from django.test.utils import override_settings

from tasks.actors import todo_cleanup
from tests.benchmarks import memory, ways
from tests.benchmarks.figures import Figure, milliseconds, ratios
from tests.benchmarks.measuring import in_turns, measured, times
from tests.benchmarks.postgresql import Server
from tests.benchmarks.runs import Watch, perform
from tests.benchmarks.stage import Stage, in_own_process, say

#: How long the trash is kept (days).
TRASH = {"without trash": 0, "into the trash": 30}

WAYS = {
    "one DELETE": ways.one_delete,
    "the sweep": ways.sweep,
    "user by user": ways.user_by_user,
    "SKIP LOCKED": ways.skip_locked,
    "ids in Python": ways.ids_in_python,
}


def longest_transaction(stage: Stage) -> list[Figure]:
    """Time each of the sweep's transactions."""
    turns = [partial(measured, stage, ways.sweep, TODO_TRASH_DAYS=days) for days in TRASH.values()]
    return [
        milliseconds(
            f"sweep {trash}: longest transaction", [run.longest for run in runs], at_most=50
        )
        for trash, runs in zip(TRASH, in_turns(stage.runs, *turns), strict=True)
    ]


def edits(stage: Stage, *, at_most: float = 10) -> list[Figure]:
    """Have somebody edit todos meanwhile, open or completed; 99 % wait no longer than a bar."""
    turns = [
        partial(measured, stage, ways.sweep, edited=True, TODO_TRASH_DAYS=days)
        for days in TRASH.values()
    ]
    return [
        milliseconds(
            f"sweep {trash}: p99 of an edit",
            [run.p99 for run in runs],
            at_most=at_most,
            note=f"beside a sweep of {min(run.seconds for run in runs):.1f} s and more",
        )
        for trash, runs in zip(TRASH, in_turns(stage.runs, *turns), strict=True)
    ]


def growth(stage: Stage) -> list[Figure]:
    """Sweep five times as many todos, in a process that has done nothing else."""
    size = replace(stage.size, todos=5 * stage.size.todos)
    figures = []
    for trash, days in TRASH.items():
        stage.fill(size)
        grown = in_own_process(growth_over_a_sweep, days)
        what = f"sweep {trash}: memory growth over {size.todos:,}"
        figures.append(Figure(what=what, runs=[grown], unit="MB", at_most=10))
        say(f"  {grown:.1f} MB")
    return figures


def growth_over_a_sweep(days: int) -> float:
    """Return by how many MB this process grows over a sweep."""
    with override_settings(TODO_TRASH_DAYS=days):
        return memory.growth(lambda: perform(todo_cleanup, Watch()))


def other_ways(stage: Server) -> list[Figure]:
    """Delete in other ways, while somebody edits: of each its time, longest transaction, p99."""
    idle = measured(stage, ways.nothing, edited=True)
    turns = [partial(measured, stage, way, edited=True) for way in WAYS.values()]
    runs = in_turns(min(stage.runs, 3), *turns)
    raw, *_ = seconds = times(*runs)
    figures = [milliseconds("nothing: p99 of an edit", [idle.p99])]
    for name, its, took in zip(WAYS, runs, seconds, strict=True):
        figures += [
            Figure(what=f"{name}: time", runs=took, unit="s"),
            ratios(f"{name}: time, by one DELETE's", took, raw),
            milliseconds(f"{name}: longest transaction", [one.longest for one in its]),
            milliseconds(f"{name}: p99 of an edit", [one.p99 for one in its]),
        ]
    return figures
