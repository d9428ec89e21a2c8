"""Cases: how fast the sweep is, and the bulk operations that undo it and that purge."""

from dataclasses import replace
from functools import partial

from tasks.actors import todo_purge, todo_restore
from tests.benchmarks import ways
from tests.benchmarks.figures import Figure, ratios, took
from tests.benchmarks.measuring import Measurement, in_turns, measured, timed, times
from tests.benchmarks.postgresql import Server
from tests.benchmarks.runs import Watch, perform
from todos.models import TrashedTodo

#: Runs, at the most, of what takes long and is far from its bar.
FEW = 3


def beside_one_delete(stage: Server) -> list[Figure]:
    """Sweep without a trash, beside one DELETE with the same rule."""
    contestants = (ways.one_delete, ways.barest_delete, ways.sweep)
    turns = [partial(measured, stage, way) for way in contestants]
    raw, barest, swept = times(*in_turns(stage.runs, *turns))
    what, beside = "sweep without trash: rate, by one DELETE's", took(swept, raw)
    return [
        ratios(what, raw, swept, at_least=0.85, note=beside),
        ratios("... by that of the barest DELETE", barest, swept, note=took(swept, barest)),
    ]


def beside_one_move(stage: Server) -> list[Figure]:
    """Sweep into the trash, beside one statement that moves the same todos."""
    turns = [
        partial(measured, stage, ways.one_move),
        partial(measured, stage, ways.sweep, TODO_TRASH_DAYS=30),
    ]
    raw, swept = times(*in_turns(stage.runs, *turns))
    what = "sweep into the trash: rate, by one move's"
    return [ratios(what, raw, swept, at_least=0.9, note=took(swept, raw))]


def beside_the_loop(stage: Server) -> list[Figure]:
    """Sweep without a trash, beside the tutorial's loop over users."""
    turns = [partial(measured, stage, way) for way in (ways.user_by_user, ways.sweep)]
    loop, swept = times(*in_turns(min(stage.runs, FEW), *turns))
    what = f"sweep without trash: times as fast as {stage.size.users:,} DELETEs"
    return [ratios(what, loop, swept, at_least=25, note=took(swept, loop))]


def beside_the_long_loop(stage: Server) -> list[Figure]:
    """The same with ten times the users and twice the todos; the loop runs once."""
    size = replace(stage.size, users=10 * stage.size.users, todos=2 * stage.size.todos)
    [sweeps] = in_turns(min(stage.runs, FEW), partial(measured, stage, ways.sweep, size=size))
    [[once]] = in_turns(1, partial(measured, stage, ways.user_by_user, size=size))
    loop, swept = times([once] * len(sweeps), sweeps)
    what = f"sweep without trash: times as fast as {size.users:,} DELETEs"
    note = f"{took(swept, loop)}, which ran once"
    return [ratios(what, loop, swept, at_least=90, note=note)]


def few_among_many(stage: Server) -> list[Figure]:
    """Sweep a few completed todos among few others, and as many among very many.

    What it costs must follow the completed todos, not the table. It does follow the number of pages
    that they lie on, and so does the raw DELETE: after a checkpoint, the first touch of each writes
    all of it to the WAL. So the bar is for as many todos on as many pages.
    """
    few = replace(stage.size, todos=stage.size.todos // 10, one_in=10)
    together = replace(few, todos=stage.size.todos * 10, within=few.todos)
    spread = replace(few, todos=stage.size.todos * 10, one_in=1_000)
    turns = [
        *(partial(measured, stage, ways.sweep, size=size) for size in (few, together, spread)),
        *(partial(measured, stage, ways.one_delete, size=size) for size in (few, spread)),
    ]
    runs = in_turns(min(stage.runs, FEW), *turns)
    # Chance has them belong to other people, so that a few todos more or less are to be kept.
    swept, near, far, deleted, deleted_far = ([one.seconds for one in its] for its in runs)
    what = f"time for {few.todos // 10:,} among {spread.todos:,}, by {few.todos:,}"
    return [
        ratios(what, near, swept, at_most=1.5, note=took(near, swept)),
        ratios("... each on a page of its own", far, swept, note=took(far, swept)),
        ratios("... the same, one DELETE", deleted_far, deleted, note=took(deleted_far, deleted)),
    ]


def undoing(stage: Server) -> list[Figure]:
    """Restore all that a sweep removed; then everything must be as it was before."""

    def there_and_back() -> tuple[Measurement, Measurement]:
        stage.fill(stage.size)
        stage.execute("DROP TABLE IF EXISTS before")
        stage.execute("CREATE UNLOGGED TABLE before AS TABLE todos_todo")
        stage.settle()
        there = timed(stage, ways.sweep, TODO_TRASH_DAYS=30)
        stage.settle()
        back = timed(stage, restore, TODO_TRASH_DAYS=30)
        check_as_before(stage)
        return there, back

    [trips] = in_turns(stage.runs, there_and_back)
    swept, undone = times([there for there, _ in trips], [back for _, back in trips])
    what = "undoing a run: rate, by the sweep's into the trash"
    return [ratios(what, swept, undone, at_least=0.5, note=took(undone, swept))]


def restore(watch: Watch) -> int:
    """Undo the last sweep."""
    _, report = perform(todo_restore, watch, run_id=TrashedTodo.objects.all().last_run())
    assert not report["errors"], report
    return report["todos_restored"]


def check_as_before(stage: Server) -> None:
    """Compare the list with the copy of it, row for row; the moment of return alone may differ."""
    fields = ways.FIELDS.replace("restored_at", "is_completed")
    now, before = f"SELECT {fields} FROM todos_todo", f"SELECT {fields} FROM before"
    for query in (f"{now} EXCEPT ALL {before}", f"{before} EXCEPT ALL {now}"):
        assert stage.number(f"SELECT count(*) FROM ({query}) difference") == 0, query
    assert stage.number("SELECT count(*) FROM todos_trashedtodo") == 0


def purging(stage: Server) -> list[Figure]:
    """Empty the trash of what a sweep took, beside one DELETE."""

    def emptied(way: ways.Way) -> Measurement:
        measured(stage, ways.sweep, TODO_TRASH_DAYS=30)
        stage.settle()
        return timed(stage, way)

    turns = [partial(emptied, way) for way in (one_purge, purge)]
    raw, purged = times(*in_turns(min(stage.runs, FEW), *turns))
    return [ratios("purge: rate, by one DELETE's", raw, purged, note=took(purged, raw))]


def one_purge(watch: Watch) -> int:
    """Empty the trash with one statement."""
    return watch.execute("DELETE FROM todos_trashedtodo WHERE trashed_at < now()")


def purge(watch: Watch) -> int:
    """Empty the trash as Tidy does."""
    _, report = perform(todo_purge, watch, days=0)
    return report["todos_purged"]
