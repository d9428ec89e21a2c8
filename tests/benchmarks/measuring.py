"""Measures one way beside another, turn by turn."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter

from django.test.utils import override_settings

from tests.benchmarks.editing import Waits, editing
from tests.benchmarks.runs import Watch
from tests.benchmarks.stage import Size, Stage, say
from tests.benchmarks.ways import Way


@dataclass(frozen=True)
class Measurement:
    """One run of one way.

    Attributes:
        seconds: from its start to its end.
        rows: how many todos it took.
        longest: its longest transaction (seconds).
        p99: what 99 % of somebody's edits meanwhile took less than (seconds).
    """

    seconds: float
    rows: int
    longest: float
    p99: float = 0.0

    def __str__(self) -> str:
        return f"{self.seconds:.3f} s"


def measured(
    stage: Stage, way: Way, *, size: Size | None = None, edited: bool = False, **settings: float
) -> Measurement:
    """Fill the stage, then time one way.

    Args:
        stage: where.
        way: which one.
        size: of what there is, if not as always.
        edited: have somebody edit todos meanwhile.
        settings: the site's; it has no trash unless they say so.
    """
    stage.fill(size or stage.size)
    return timed(stage, way, edited=edited, **settings)


def timed(stage: Stage, way: Way, *, edited: bool = False, **settings: float) -> Measurement:
    """Time one way on what there is on the stage; otherwise like `measured`."""
    watch, nobody = Watch(), nullcontext(Waits())
    person = editing(stage.address, stage.size.todos) if edited else nobody
    with override_settings(**{"TODO_TRASH_DAYS": 0, **settings}), person as waits:
        started = perf_counter()
        rows = way(watch)
        seconds = perf_counter() - started
    return Measurement(seconds, rows, watch.longest, waits.p99)


def in_turns[T](runs: int, *contestants: Callable[[], T]) -> list[list[T]]:
    """Have each have its turn, in one order and then the other, so many times.

    Returns:
        For each its results, in the order of the runs.
    """
    results: list[list[T]] = [[] for _ in contestants]
    turns = [*zip(contestants, results, strict=True)]
    for run in range(runs):
        for contestant, its in turns if run % 2 == 0 else reversed(turns):
            its.append(contestant())
        say(f"  run {run + 1} of {runs}: {'  '.join(str(its[-1]) for its in results)}")
    return results


def times(*contestants: Sequence[Measurement]) -> list[list[float]]:
    """Return how long each took, having checked that all of them took as many todos."""
    assert len({one.rows for measurements in contestants for one in measurements}) == 1, contestants
    return [[one.seconds for one in measurements] for measurements in contestants]
