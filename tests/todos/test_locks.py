"""Somebody else's transaction holds todos, and is forgotten: nobody else has to wait for that."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import monotonic
from typing import Any

import pytest
from django.db import OperationalError, connection

from accounts.models import User
from tests.factories import AS_OF, give, new_todos
from tests.todos.checkpoints import JsonStore, Stopped
from tests.todos.locks import in_another_connection, locked, wait_until_blocked
from todos.bulk import checkpoint, errors, failing_rows, runner
from todos.bulk.checkpoint import LOCKED, Checkpoint
from todos.bulk.sweep import SweepReport
from todos.clock import database_now
from todos.models import Todo, TrashedTodo
from todos.services import TodoService

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RETRY_PAUSE_SECONDS", 0.05)


@pytest.fixture(autouse=True, params=[0, 30], ids=["deleted", "moved"])
def _trash(request: pytest.FixtureRequest, settings: Any) -> None:
    """Todos that are swept are deleted at once, or moved to the trash."""
    settings.TODO_TRASH_DAYS = request.param


def sweep(run: JsonStore | None = None, **options: Any) -> SweepReport:
    return TodoService.sweep(as_of=AS_OF, store=run or JsonStore(), **options)


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_todo_that_a_forgotten_transaction_holds_keeps_nobody_elses_back(
    alice: User, bob: User, batch_size: int
) -> None:
    todos = new_todos(alice, bob, each=10)
    started = monotonic()
    with locked("todos_todo", todos[6].pk):
        report = sweep(batch_size=batch_size)
        took = monotonic() - started

    assert list(Todo.objects.all()) == [todos[6]]
    assert report == {
        "users_processed": 2,
        "todos_deleted": 19,
        "errors": [{"user_id": alice.pk, "reason": LOCKED}],
    }
    assert took < 30
    assert sweep()["todos_deleted"] == 1, "the next night takes it"


def test_todo_that_is_let_go_before_the_end_is_swept_after_all(alice: User, bob: User) -> None:
    todos = new_todos(alice, bob, each=10)

    with locked("todos_todo", todos[3].pk) as holder:

        def let_go_at_the_end(checkpoint: Checkpoint[int]) -> None:
            if checkpoint.done == 1.0:
                assert list(Todo.objects.all()) == [todos[3]]
                holder.rollback()

        report = sweep(batch_size=4, on_batch=let_go_at_the_end)

    assert report == {"users_processed": 2, "todos_deleted": 20, "errors": []}
    assert not Todo.objects.exists()


def test_todo_that_is_reopened_by_whoever_held_it_stays_and_is_no_error(alice: User) -> None:
    todos = new_todos(alice, each=10)

    with locked("todos_todo", todos[3].pk) as holder:

        def reopen_at_the_end(checkpoint: Checkpoint[int]) -> None:
            if checkpoint.done == 1.0:
                reopen = "UPDATE todos_todo SET completed_at = NULL WHERE id = %s"
                holder.execute(reopen, [todos[3].pk])
                holder.commit()

        report = sweep(batch_size=4, on_batch=reopen_at_the_end)

    assert report == {"users_processed": 1, "todos_deleted": 9, "errors": []}
    assert [todo.pk for todo in Todo.objects.open()] == [todos[3].pk]


def test_a_todo_held_in_every_range_costs_few_waits(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    todos = new_todos(alice, bob, each=100)
    monkeypatch.setattr(checkpoint, "MOST_HELD_RANGES", 3)
    run = JsonStore(lock_timeout_ms=1_000)
    seen: list[int] = []

    started = monotonic()
    with locked("todos_todo", *(todo.pk for todo in todos[::8])):
        report = sweep(run, batch_size=4, on_batch=lambda _: seen.append(len(run.stored["held"])))
    took = monotonic() - started

    assert report["todos_deleted"] == 175
    assert report["errors"] == [{"user_id": alice.pk, "reason": LOCKED}]
    assert run.stored["timeouts"] == runner.MOST_TIMEOUTS
    assert max(seen) <= 3
    # To wait for each of the 25 would take that many seconds, twice at the least.
    assert took < 25


def test_all_of_a_persons_todos_held_are_named_once(alice: User, bob: User) -> None:
    todos = new_todos(alice, bob, each=500)
    with locked("todos_todo", *(todo.pk for todo in todos if todo.user == alice)):
        report = sweep(batch_size=100)
    assert report["todos_deleted"] == 500
    assert report["errors"] == [{"user_id": alice.pk, "reason": LOCKED}]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_sweep_stopped_at_every_step_goes_on_with_what_it_passed_over(
    alice: User, bob: User, limit: int
) -> None:
    """As by slices, deploys and crashes: whoever continues has the checkpoint and nothing else."""
    todos = new_todos(alice, bob, each=10)
    run = JsonStore()
    held = [todos[2].pk, todos[9].pk]
    stops = 0

    def stop() -> None:
        # However soon: each message gets on a little.
        if run.changes >= limit:
            raise Stopped

    run.before_step = stop
    with locked("todos_todo", *held):
        while True:
            run.changes = 0
            try:
                report = sweep(run, batch_size=4)
            except Stopped:
                stops += 1
                assert run.stored["rows"] == len(todos) - Todo.objects.count()
            else:
                break

    assert stops > 1
    assert report["todos_deleted"] == 18
    assert {todo.pk for todo in Todo.objects.all()} == set(held)
    assert [error["user_id"] for error in report["errors"]] == [alice.pk, bob.pk]


def test_sweep_that_is_in_one_deadlock_after_another_takes_what_is_free(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "PAUSE_SECONDS", 1.0)
    todos = new_todos(alice, each=3)
    with (
        ThreadPoolExecutor(1) as pool,
        locked("todos_todo", todos[1].pk) as one,
        locked("todos_todo", todos[2].pk) as another,
    ):
        swept = pool.submit(in_another_connection, sweep_that_gives_way)
        for holder in one, another:
            wait_until_blocked(swept, by=holder)
            holder.execute("SET deadlock_timeout = '1min'")
            holder.execute("SELECT FROM todos_todo WHERE id = %s FOR UPDATE", [todos[0].pk])
            if holder is one:
                holder.rollback()
        report = swept.result(timeout=30)

    assert (report["todos_deleted"], report["errors"]) == (
        1,
        [{"user_id": alice.pk, "reason": LOCKED}],
    )
    assert list(Todo.objects.order_by("pk")) == [todos[0], todos[2]]
    assert sweep()["todos_deleted"] == 2, "the next night takes them"


def sweep_that_gives_way() -> SweepReport:
    """Sweep on a connection that, in a deadlock, finds out first."""
    with connection.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '2s'")
    return sweep(JsonStore(lock_timeout_ms=20_000))


def test_whole_table_held_is_nobodys_fault(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_todos(alice, bob, each=10)
    monkeypatch.setattr(failing_rows, "PATIENCE_SECONDS", 0.5)
    with locked("todos_todo") as holder:
        holder.execute("LOCK TABLE todos_todo IN SHARE MODE")
        with pytest.raises(OperationalError, match="lock timeout"):
            sweep()
    assert Todo.objects.count() == 20
    assert sweep()["todos_deleted"] == 20


def test_statement_that_takes_too_long_is_tried_with_fewer(alice: User, bob: User) -> None:
    """As on a disk that has become slow: a trigger that sleeps stands for it."""
    new_todos(alice, bob, each=8)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.02); RETURN OLD; END $$;"
            " CREATE TRIGGER dawdle BEFORE DELETE ON todos_todo"
            " FOR EACH ROW EXECUTE FUNCTION dawdle();"
            " SET statement_timeout = 200"
        )
    try:
        report = sweep()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout; DROP FUNCTION dawdle CASCADE")
    assert report == {"users_processed": 2, "todos_deleted": 16, "errors": []}


def trash_of(*users: User) -> list[Todo]:
    """Have run 1 sweep todos of people away."""
    todos = new_todos(*users, each=10)
    TodoService.sweep(as_of=AS_OF, store=JsonStore(1))
    return todos


def test_purge_passes_over_what_is_held(alice: User, bob: User, settings: Any) -> None:
    settings.TODO_TRASH_DAYS = 30
    todos = trash_of(alice, bob)
    with locked("todos_trashedtodo", todos[4].pk):
        report = TodoService.purge(as_of=database_now(), days=0, batch_size=3, store=JsonStore(2))
    assert report == {"todos_purged": 19, "errors": [{"user_id": alice.pk, "reason": LOCKED}]}
    assert [todo.pk for todo in TrashedTodo.objects.all()] == [todos[4].pk]


def test_restoring_passes_over_what_is_held(alice: User, bob: User, settings: Any) -> None:
    settings.TODO_TRASH_DAYS = 30
    todos = trash_of(alice, bob)
    with locked("todos_trashedtodo", todos[4].pk):
        report = TodoService.restore_selected(
            todos=TrashedTodo.objects.swept_by(1), batch_size=3, store=JsonStore(2)
        )
    assert (report["todos_restored"], report["todos_left"]) == (19, 1)
    assert report["errors"] == [{"user_id": alice.pk, "reason": LOCKED}]


@pytest.mark.parametrize("released_at", [1.0, None])
def test_restoring_passes_over_a_person_whose_account_is_held(
    alice: User, bob: User, settings: Any, released_at: float | None
) -> None:
    """A todo that comes back needs its owner to stay; whoever deletes the account holds it."""
    settings.TODO_TRASH_DAYS = 30
    trash_of(alice, bob)
    with locked("accounts_user", alice.pk) as holder:

        def maybe_let_go(checkpoint: Checkpoint[int]) -> None:
            if checkpoint.done == released_at:
                holder.rollback()

        report = TodoService.restore_selected(
            todos=TrashedTodo.objects.swept_by(1),
            batch_size=3,
            store=JsonStore(2),
            on_batch=maybe_let_go,
        )
    if released_at:
        assert report == {"todos_restored": 20, "todos_left": 0, "errors": []}
    else:
        assert (report["todos_restored"], report["todos_left"]) == (10, 10)
        assert report["errors"] == [{"user_id": alice.pk, "reason": LOCKED}]
        assert {todo.user for todo in Todo.objects.all()} == {bob}


def test_people_held_beyond_those_named_are_counted(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "MOST_ERRORS", 3)
    users = [User.objects.create(username=f"user{number}") for number in range(6)]
    todos = new_todos(*users, each=2)
    with locked("todos_todo", *(todo.pk for todo in todos[:5])):
        report = sweep(batch_size=4)
    assert (len(report["errors"]), report["error_count"]) == (3, 5)


def test_database_that_goes_in_mid_range_costs_one_more_try(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(alice, completed=9)
    run = JsonStore()
    lost: list[int] = []

    def lose_the_connection() -> None:
        if run.stored.get("rows") == 4 and not lost:
            lost.append(1)
            raise OperationalError("server closed the connection unexpectedly")

    run.before_step = lose_the_connection
    assert sweep(run, batch_size=2)["todos_deleted"] == 9
    assert lost


def test_every_reading_outside_of_a_step_is_one_that_can_wait(alice: User) -> None:
    """What the run's own `read` does not do fails when the database is away for a moment."""
    give(alice, completed=9)
    run = JsonStore()
    outside: list[str] = []
    inside = False
    reading = run.read
    step = run.step

    def watch(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if not connection.in_atomic_block and not inside:
            outside.append(sql)
        return execute(sql, *arguments)

    def read(do: Callable[[], Any]) -> Any:
        nonlocal inside
        inside = True
        try:
            return reading(do)
        finally:
            inside = False

    run.read = read  # type: ignore[method-assign]
    with ExitStack() as stack:
        stack.enter_context(connection.execute_wrapper(watch))
        sweep(run, batch_size=2)
    assert step == run.step
    assert run.reads > 2
    # Django's own BEGIN and the like are no readings.
    assert [sql for sql in outside if sql.startswith(("SELECT", "DELETE", "WITH"))] == []
