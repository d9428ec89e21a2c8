"""The trash: what goes there comes back as it was, or goes for good once its time is over."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.core.checks import Error
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.models import User
from tests.examples import examples
from tests.factories import AS_OF, LONG_AGO, give, new_todo, new_trash
from tests.todos.checkpoints import JsonStore, Stopped
from tests.todos.sweeping import Run, refuse_to_delete, rows
from todos.bulk import checkpoint as checkpoints
from todos.bulk import trash
from todos.bulk.checkpoint import Checkpoint
from todos.bulk.keys import Position
from todos.bulk.sql import Rows
from todos.bulk.trash import Purge
from todos.models import Todo, TrashedTodo
from todos.rules import KEEP_RESTORED_DAYS
from todos.services import TodoNotFound, TodoService

DAY = timedelta(days=1)


def sweep(run_id: int | None = None, **options: Any) -> int:
    checkpoint = None if run_id is None else Run(run_id)
    return TodoService.sweep(as_of=AS_OF, store=checkpoint, **options)["todos_deleted"]


def test_swept_todo_is_in_the_trash_with_all_it_had_and_the_run_that_took_it(alice: User) -> None:
    todo = new_todo(alice, description="Long text\nof two lines", due_on=date(2026, 1, 2))
    before = rows(Todo)
    before_it = datetime.now(UTC)

    assert sweep(run_id=7) == 1

    assert not Todo.objects.exists()
    assert rows(TrashedTodo) == before
    trashed = TrashedTodo.objects.get()
    assert (trashed.pk, trashed.run_id, trashed.trashed_by) == (todo.pk, 7, None)
    assert before_it <= trashed.trashed_at <= datetime.now(UTC)


def test_deleted_todo_is_in_the_trash_with_who_deleted_it(alice: User, bob: User) -> None:
    mine, hers = new_todo(alice), new_todo(alice, completed_at=None)

    TodoService.delete(user=alice, todo_id=mine.pk)
    TodoService.delete(user=alice, todo_id=hers.pk, by=bob)

    trashed = {todo.pk: todo for todo in TrashedTodo.objects.all()}
    assert {pk: todo.trashed_by for pk, todo in trashed.items()} == {mine.pk: alice, hers.pk: bob}
    assert {todo.run_id for todo in trashed.values()} == {None}


def test_cleared_list_is_in_the_trash(alice: User, bob: User) -> None:
    give(alice, completed=3, open_=2)
    theirs = new_todo(bob)

    assert TodoService.delete_completed_todos(user=alice) == 3

    assert set(TrashedTodo.objects.values_list("user", "trashed_by")) == {(alice.pk, alice.pk)}
    assert Todo.objects.open().count() == 2
    assert Todo.objects.filter(pk=theirs.pk).exists()


def test_selection_of_many_peoples_todos_is_deleted_in_batches(
    alice: User, bob: User, settings: Settings
) -> None:
    give(alice, completed=5, open_=5)
    give(bob, completed=4)
    settings.TODO_SWEEP_BATCH_SIZE = 3

    assert TodoService.delete_selected(todos=Todo.objects.completed(), by=bob) == 9

    assert Todo.objects.count() == 5
    assert TrashedTodo.objects.filter(trashed_by=bob, run_id=None).count() == 9


def test_without_a_trash_todos_are_deleted_for_good(alice: User, settings: Settings) -> None:
    settings.TODO_TRASH_DAYS = 0
    give(alice, completed=3)
    deleted = new_todo(alice)

    TodoService.delete(user=alice, todo_id=deleted.pk)
    assert sweep() == 3

    assert not Todo.objects.exists()
    assert not TrashedTodo.objects.exists()


def test_somebody_elses_todo_is_neither_deleted_nor_restored(alice: User, bob: User) -> None:
    todo = new_todo(alice)
    with pytest.raises(TodoNotFound):
        TodoService.delete(user=bob, todo_id=todo.pk)
    TodoService.delete(user=alice, todo_id=todo.pk)
    with pytest.raises(TodoNotFound):
        TodoService.restore(user=bob, todo_id=todo.pk)
    assert TrashedTodo.objects.get().pk == todo.pk


@pytest.mark.parametrize("completed_at", [None, LONG_AGO])
def test_restored_todo_comes_back_as_it_was_with_the_same_id(
    alice: User, completed_at: datetime | None
) -> None:
    todo = new_todo(alice, description="Text", due_on=date(2026, 1, 2), completed_at=completed_at)
    before = rows(Todo)
    TodoService.delete(user=alice, todo_id=todo.pk)

    restored = TodoService.restore(user=alice, todo_id=todo.pk)

    assert rows(Todo) == before
    assert restored.pk == todo.pk
    assert restored.is_completed == (completed_at is not None)
    assert restored.restored_at is not None
    assert not TrashedTodo.objects.exists()
    with pytest.raises(TodoNotFound):
        TodoService.restore(user=alice, todo_id=todo.pk)


def test_whole_run_is_undone_row_for_row_and_nothing_else(alice: User, bob: User) -> None:
    give(alice, completed=5, open_=2)
    give(bob, completed=4)
    before = rows(Todo)
    other = new_todo(alice, title="Of another run")
    sweep(run_id=1, batch_size=2)
    TrashedTodo.objects.filter(pk=other.pk).update(run_id=2)

    todos = TrashedTodo.objects.swept_by(1)
    assert TodoService.preview_restore(todos=todos)["todos_restored"] == 9
    report = TodoService.restore_selected(todos=todos, batch_size=2)

    assert report == {"todos_restored": 9, "todos_left": 0, "errors": []}
    assert rows(Todo) == before
    assert [todo.pk for todo in TrashedTodo.objects.all()] == [other.pk]
    again = TodoService.restore_selected(todos=todos)
    assert again == {"todos_restored": 0, "todos_left": 0, "errors": []}


def test_last_sweep_of_one_person_is_undone_alone(alice: User, bob: User) -> None:
    earlier = new_todo(alice, title="Earlier")
    sweep(run_id=1)
    later = new_todo(alice, title="Later")
    deleted = new_todo(alice, title="Deleted by hand")
    TodoService.delete(user=alice, todo_id=deleted.pk)
    new_todo(bob)
    sweep(run_id=2)
    new_todo(bob)
    sweep(run_id=3)

    assert TodoService.restore_last_sweep(user=alice)["todos_restored"] == 1

    assert [todo.pk for todo in Todo.objects.all()] == [later.pk]
    left = TrashedTodo.objects.filter(user=alice).values_list("pk", flat=True)
    assert set(left) == {earlier.pk, deleted.pk}


def test_last_sweep_of_somebody_whom_none_took_anything_from_is_nothing(alice: User) -> None:
    TodoService.delete(user=alice, todo_id=new_todo(alice).pk)
    assert TodoService.restore_last_sweep(user=alice)["todos_restored"] == 0
    assert TrashedTodo.objects.count() == 1


@pytest.mark.parametrize("keep_days", [0, 3, 30])
@pytest.mark.parametrize("own", [None, 0, 3, 30])
def test_restored_todo_is_kept_for_its_keep_time_anew_and_a_week_at_least(
    alice: User, keep_days: int, own: int | None
) -> None:
    alice.keep_completed_days = own
    alice.save()
    todo = new_todo(alice)
    kept = timedelta(days=max(KEEP_RESTORED_DAYS, keep_days if own is None else own))
    Todo.objects.update(restored_at=AS_OF)

    def taken_at(moment: datetime) -> int:
        preview = TodoService.preview_sweep(as_of=moment, keep_days=keep_days)
        return preview["todos_deleted"]

    assert taken_at(AS_OF) == taken_at(AS_OF + kept) == 0
    assert taken_at(AS_OF + kept + timedelta(microseconds=1)) == 1
    assert TodoService.reopen(user=alice, todo_id=todo.pk).restored_at == AS_OF


def test_todos_of_a_deleted_account_are_not_restored_and_said_so(alice: User, bob: User) -> None:
    give(alice, completed=3)
    give(bob, completed=2)
    sweep(run_id=1)
    # As nothing in Tidy does: past the code that takes the trash along.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_user WHERE id = %s", [alice.pk])

    todos = TrashedTodo.objects.swept_by(1)
    expected = {
        "todos_restored": 2,
        "todos_left": 3,
        "errors": [{"user_id": alice.pk, "reason": trash.OWNER_GONE}],
    }
    assert TodoService.preview_restore(todos=todos) == expected
    assert TodoService.restore_selected(todos=todos, batch_size=2) == expected
    assert {todo.user for todo in Todo.objects.all()} == {bob}


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_todo_whose_id_is_taken_stays_in_the_trash_and_every_other_comes_back(
    alice: User, bob: User, batch_size: int
) -> None:
    give(alice, completed=9)
    give(bob, completed=9)
    mine = Todo.objects.filter(user=alice)[4]
    sweep(run_id=1)
    Todo.objects.create(pk=mine.pk, user=bob, title="An import with ids of its own")
    todos = TrashedTodo.objects.swept_by(1)
    foreseen = TodoService.preview_restore(todos=todos)

    report = TodoService.restore_selected(todos=todos, batch_size=batch_size)

    why = {"user_id": alice.pk, "reason": trash.ID_IN_USE, "todo_ids": [mine.pk]}
    assert report == {"todos_restored": 17, "todos_left": 1, "errors": [why]}
    assert foreseen == report
    assert [todo.pk for todo in TrashedTodo.objects.all()] == [mine.pk]


@given(in_use=st.sets(st.integers(0, 11)), batch_size=st.integers(1, 12))
@hypothesis_settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_exactly_the_todos_whose_ids_are_taken_stay(
    alice: User, bob: User, in_use: set[int], batch_size: int
) -> None:
    Todo.objects.all().delete()
    TrashedTodo.objects.all().delete()
    for user in (alice, bob):
        give(user, completed=6)
    ids = sorted(Todo.objects.values_list("pk", flat=True))
    sweep(run_id=1)
    ids_in_use = {ids[number] for number in in_use}
    for pk in ids_in_use:
        new_todo(bob, pk=pk, title="Import")

    todos = TrashedTodo.objects.swept_by(1)
    foreseen = TodoService.preview_restore(todos=todos)

    report = TodoService.restore_selected(todos=todos, batch_size=batch_size)

    assert foreseen == report
    assert (report["todos_restored"], report["todos_left"]) == (12 - len(in_use), len(in_use))
    assert {pk for error in report["errors"] for pk in error["todo_ids"]} == ids_in_use
    assert set(TrashedTodo.objects.values_list("pk", flat=True)) == ids_in_use


def test_person_of_whom_very_many_todos_fail_is_left_out_as_a_whole(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MOST_LEFT_ROWS", 3)
    for number in range(40):
        new_todo(alice, title="Stuck" if number % 2 else "Done")
    new_todo(bob)
    refuse_to_delete("Stuck")

    report = TodoService.sweep(as_of=AS_OF, batch_size=10)

    (error,) = report["errors"]
    assert error["user_id"] == alice.pk
    assert "todo_ids" not in error, "it is all that were still to come"
    assert not Todo.objects.filter(user=bob).exists()
    assert report["todos_deleted"] == 41 - Todo.objects.count()


def test_purge_takes_what_is_older_than_the_trash_keeps(alice: User, settings: Settings) -> None:
    settings.TODO_TRASH_DAYS = 10
    give(alice, completed=4)
    sweep(run_id=1)
    ages = [10 * DAY + timedelta(microseconds=1), 10 * DAY, DAY, 400 * DAY]
    for todo, age in zip(TrashedTodo.objects.order_by("pk"), ages, strict=True):
        TrashedTodo.objects.filter(pk=todo.pk).update(trashed_at=AS_OF - age)

    assert TodoService.preview_purge(as_of=AS_OF) == {"todos_purged": 2, "errors": []}
    assert TodoService.purge(as_of=AS_OF, batch_size=1) == {"todos_purged": 2, "errors": []}

    left = {AS_OF - todo.trashed_at for todo in TrashedTodo.objects.all()}
    assert left == {10 * DAY, DAY}


def test_purge_of_todos_that_came_at_the_same_moment_leaves_none(alice: User, bob: User) -> None:
    give(alice, completed=7)
    give(bob, completed=2)
    sweep(run_id=1)
    TrashedTodo.objects.update(trashed_at=LONG_AGO)
    told = [0]

    report = TodoService.purge(
        as_of=AS_OF,
        days=0,
        user=alice,
        batch_size=3,
        on_batch=lambda checkpoint: told.append(checkpoint.rows),
    )

    assert report["todos_purged"] == 7
    assert told == [0, 3, 7], "never twice as many, however many share a moment"
    assert {todo.user for todo in TrashedTodo.objects.all()} == {bob}


@given(
    days=st.lists(st.integers(0, 3), min_size=1, max_size=15),
    batch_size=st.integers(1, 6),
    cut=st.integers(1, 20),
)
@hypothesis_settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_transaction_of_a_purge_takes_more_than_twice_what_it_was_told(
    alice: User, days: list[int], batch_size: int, cut: int
) -> None:
    TrashedTodo.objects.all().delete()
    give(alice, completed=len(days))
    sweep(run_id=1)
    for todo, day in zip(TrashedTodo.objects.order_by("pk"), days, strict=True):
        TrashedTodo.objects.filter(pk=todo.pk).update(trashed_at=LONG_AGO + day * DAY)
    told = [0]
    run = JsonStore()

    def tell(checkpoint: Checkpoint[Position]) -> None:
        told.append(checkpoint.rows)
        if len(told) == cut:
            raise Stopped

    def purge() -> int:
        return TodoService.purge(
            as_of=LONG_AGO + 3 * DAY, days=0, batch_size=batch_size, on_batch=tell, store=run
        )["todos_purged"]

    try:
        purged = purge()
    except Stopped:  # And continued from the checkpoint.
        purged = purge()

    assert purged == sum(day < 3 for day in days)
    assert all(later - earlier <= 2 * batch_size for earlier, later in pairwise(told))
    assert TrashedTodo.objects.count() == len(days) - purged


@pytest.mark.parametrize("passed", [None, 0, 1])
def test_purge_that_the_version_before_began_is_continued(alice: User, passed: int | None) -> None:
    """Its checkpoint knows moments alone: all that share the last one have been passed."""
    moments = [LONG_AGO, LONG_AGO + DAY, LONG_AGO + DAY, LONG_AGO + 2 * DAY]
    give(alice, completed=4)
    sweep(run_id=1)
    for todo, moment in zip(TrashedTodo.objects.order_by("pk"), moments, strict=True):
        TrashedTodo.objects.filter(pk=todo.pk).update(trashed_at=moment)
    gone = 0
    if passed is not None:
        gone, _ = TrashedTodo.objects.filter(trashed_at__lte=moments[passed]).delete()
    run = JsonStore()
    run.stored = {
        "days": 30,
        "first": moments[0].isoformat(),
        "last": moments[-1].isoformat(),
        "cursor": None if passed is None else moments[passed].isoformat(),
        "done": 0.0,
        "rows": gone,
        "errors": [],
        "failed": [],
    }

    assert TodoService.purge(as_of=AS_OF, batch_size=1, store=run)["todos_purged"] == 4
    assert not TrashedTodo.objects.exists()


@pytest.mark.postgresql
def test_purge_reads_what_is_old_and_nothing_else(alice: User) -> None:
    new_trash(alice, each=500, trashed_at=LONG_AGO)
    new_trash(alice, each=19_500, trashed_at=AS_OF)
    old = Rows.of(Purge(as_of=AS_OF).candidates(), key=Purge.key)
    part = old.between(Position(LONG_AGO, 100), Position(LONG_AGO, 200))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE todos_trashedtodo")
        rows = f"FROM {part.table} WHERE {part.where}"
        for statement in (
            f"DELETE {rows}",
            f"SELECT trashed_at, id {rows} ORDER BY trashed_at, id LIMIT 1 OFFSET 50",
        ):
            cursor.execute(f"EXPLAIN {statement}", part.params)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "todos_trash_trashed_at" in plan
            assert "Seq Scan" not in plan


def test_todos_and_trash_go_with_their_owner_at_once_in_a_few_statements(
    alice: User, bob: User
) -> None:
    new_todo(bob, title="Stays")
    give(bob, completed=1)
    TodoService.delete_completed_todos(user=bob)

    def statements(todos: int) -> int:
        user = User.objects.create_user(f"with {todos}")
        give(user, completed=todos, open_=todos)
        TodoService.delete_completed_todos(user=user)
        TrashedTodo.objects.filter(user=bob).update(trashed_by=user)
        with CaptureQueriesContext(connection) as queries:
            user.delete()
        assert not any("SELECT" in q["sql"] and "todos_" in q["sql"] for q in queries)
        return len(queries)

    assert statements(2) == statements(200)

    assert not Todo.objects.exclude(user=bob).exists()
    assert {(todo.user, todo.trashed_by) for todo in TrashedTodo.objects.all()} == {(bob, None)}


def test_field_added_later_moves_along(alice: User, transactional_db: None) -> None:
    """A migration adds it to both tables, since it stands in `TodoFields`."""
    # Of fields that are added while it runs, mypy cannot know.
    tables: list[Any] = [Todo, TrashedTodo]
    for table in tables:
        models.CharField(max_length=20, default="").contribute_to_class(table, "priority")
    try:
        with connection.schema_editor() as editor:
            for table in tables:
                editor.add_field(table, table._meta.get_field("priority"))
        todo = new_todo(alice, priority="high")
        sweep(run_id=1)
        assert [found.priority for found in tables[1].objects.all()] == ["high"]
        TodoService.restore_last_sweep(user=alice)
        assert [(found.pk, found.priority) for found in tables[0].objects.all()] == [
            (todo.pk, "high")
        ]
    finally:
        with connection.schema_editor() as editor:
            for table in tables:
                editor.remove_field(table, table._meta.get_field("priority"))
        for table in tables:
            table._meta.local_fields.remove(table._meta.get_field("priority"))
            table._meta._expire_cache()  # noqa: SLF001  (Django adds fields, and removes none)
            del table.priority


def test_field_that_the_trash_lacks_is_an_error_of_the_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = models.CharField(max_length=20)
    lost.set_attributes_from_name("priority")
    known = [*Todo.stored_fields(), lost]
    monkeypatch.setattr(Todo, "stored_fields", classmethod(lambda _: known))
    (error,) = [found for found in TrashedTodo.check() if isinstance(found, Error)]
    assert error.id == "todos.E001"
    assert "'priority'" in error.msg


def test_no_more_people_are_named_than_a_report_has_room_for_and_all_are_counted(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MOST_ERRORS", 3)
    users = [User.objects.create(username=f"user{number}") for number in range(6)]
    for user in users[:5] * 2:
        new_todo(user, title="Stuck")
    new_todo(users[5])
    refuse_to_delete("Stuck")

    report = TodoService.sweep(as_of=AS_OF, batch_size=4)

    assert len(report["errors"]) == 3
    assert report["error_count"] == 5
    assert report["todos_deleted"] == 1
    assert Todo.objects.count() == 10
