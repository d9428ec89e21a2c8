"""The sweep: its ranges, its counts, and people whose todos cannot be swept."""

import random
from itertools import pairwise

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.models import User
from tests.factories import AS_OF, LONG_AGO, give, give_each, new_todos
from tests.todos.checkpoints import JsonStore
from tests.todos.sweeping import refuse_to_delete
from todos.bulk import ranges, runner
from todos.bulk.checkpoint import Checkpoint
from todos.bulk.keys import ID
from todos.bulk.sql import Rows
from todos.bulk.sweep import Sweep
from todos.models import Todo
from todos.services import TodoService


def test_sweep_of_an_empty_list_does_nothing(alice: User) -> None:
    assert TodoService.sweep(as_of=AS_OF) == {
        "users_processed": 1,
        "todos_deleted": 0,
        "errors": [],
    }


def test_sweep_leaves_every_open_todo(alice: User, bob: User) -> None:
    give(alice, completed=7, open_=5)
    give(bob, completed=0, open_=3)
    open_before = set(Todo.objects.open().values_list("pk", flat=True))

    result = TodoService.sweep(as_of=AS_OF, batch_size=2)

    assert result["todos_deleted"] == 7
    assert set(Todo.objects.values_list("pk", flat=True)) == open_before


def test_sweeping_twice_takes_the_same_todos_once(alice: User) -> None:
    give(alice, completed=5)

    assert TodoService.sweep(as_of=AS_OF)["todos_deleted"] == 5
    assert TodoService.sweep(as_of=AS_OF)["todos_deleted"] == 0


def test_sweep_of_one_person_leaves_everyone_elses(alice: User, bob: User) -> None:
    give(alice, completed=5)
    give(bob, completed=5)

    result = TodoService.sweep(as_of=AS_OF, user=alice, batch_size=2)

    assert (result["users_processed"], result["todos_deleted"]) == (1, 5)
    assert Todo.objects.filter(user=bob).count() == 5


def test_sweep_of_one_person_who_opted_out_touches_nothing(alice: User) -> None:
    alice.auto_cleanup = False
    alice.save()
    give(alice, completed=5)

    result = TodoService.sweep(as_of=AS_OF, user=alice)

    assert (result["users_processed"], result["todos_deleted"]) == (0, 0)
    assert Todo.objects.count() == 5


def test_progress_is_told_after_every_batch_and_ends_at_the_last_id(alice: User) -> None:
    give(alice, completed=7)
    told: list[Checkpoint[int]] = []

    TodoService.sweep(as_of=AS_OF, batch_size=3, on_batch=told.append)

    assert [checkpoint.rows for checkpoint in told] == [3, 6, 7]
    assert [checkpoint.done for checkpoint in told] == [0.3333, 0.8333, 1.0]


def test_a_batch_costs_two_statements_however_many_todos_and_users_there_are(
    alice: User, bob: User
) -> None:
    give(alice, completed=20, open_=20)
    give(bob, completed=20)

    with CaptureQueriesContext(connection) as few:
        TodoService.sweep(as_of=AS_OF, batch_size=100)
    give(alice, completed=200, open_=200)
    give(bob, completed=200)
    with CaptureQueriesContext(connection) as many:
        TodoService.sweep(as_of=AS_OF, batch_size=1000)

    def without_savepoints(queries: CaptureQueriesContext) -> list[str]:
        return [q["sql"] for q in queries if "SAVEPOINT" not in q["sql"]]

    # The first and last id, the number of people, the end of the range, and its move. SQLite moves
    # with two statements, but is not asked for the time.
    expected = 5
    assert len(without_savepoints(few)) == len(without_savepoints(many)) == expected


def test_person_whose_todos_cannot_be_deleted_is_named_and_everyone_else_is_swept(
    alice: User, bob: User, carol: User
) -> None:
    for user in (alice, bob, carol):
        give(user, completed=10)
    Todo.objects.create(user=bob, title="Secret plan", completed_at=LONG_AGO)
    refuse_to_delete("Secret plan")

    result = TodoService.sweep(as_of=AS_OF, batch_size=4)

    assert [error["user_id"] for error in result["errors"]] == [bob.pk]
    assert not Todo.objects.filter(user__in=[alice, carol]).exists()
    assert Todo.objects.filter(user=bob, title="Secret plan").exists()
    assert result["todos_deleted"] == 31 - Todo.objects.count()
    assert "Secret" not in str(result)


def test_every_person_at_fault_is_found_in_one_range(db: None) -> None:
    users = [User.objects.create(username=f"user{number}") for number in range(9)]
    for number, user in enumerate(users):
        title = "Stuck" if number in {0, 4, 8} else "Done"
        Todo.objects.create(user=user, title=title, completed_at=LONG_AGO)
    refuse_to_delete("Stuck")

    result = TodoService.sweep(as_of=AS_OF)

    assert {error["user_id"] for error in result["errors"]} == {users[n].pk for n in (0, 4, 8)}
    assert set(Todo.objects.values_list("title", flat=True)) == {"Stuck"}
    assert result["todos_deleted"] == 6


def test_sweep_that_stops_half_way_continues_with_the_rest(alice: User) -> None:
    give(alice, completed=6)

    def break_down(checkpoint: Checkpoint[int]) -> None:
        raise OperationalError("connection lost")

    with pytest.raises(OperationalError):
        TodoService.sweep(as_of=AS_OF, batch_size=2, on_batch=break_down)

    assert Todo.objects.count() == 4
    assert TodoService.sweep(as_of=AS_OF, batch_size=2)["todos_deleted"] == 4


@pytest.mark.postgresql
def test_missing_right_to_delete_is_nobodys_fault(alice: User) -> None:
    give(alice, completed=3)
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE reader")
        cursor.execute("GRANT SELECT ON todos_todo, accounts_user TO reader")
        cursor.execute("SET LOCAL ROLE reader")
    with pytest.raises(DatabaseError, match="permission denied"):
        TodoService.sweep(as_of=AS_OF)
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    assert Todo.objects.count() == 3


@pytest.mark.postgresql
def test_sweep_reads_the_todos_and_people_it_needs_and_no_others(alice: User) -> None:
    with connection.cursor() as cursor:
        # What earlier tests left of pages would count in the plan.
        cursor.execute("TRUNCATE todos_todo")
    User.objects.bulk_create(
        User(username=f"user{number}", keep_completed_days=None if number % 50 else 9)
        for number in range(5_000)
    )
    give(alice, completed=2_000)
    new_todos(alice, each=20_000, completed_at=None)
    range_of_ids = Rows.of(Sweep(as_of=AS_OF, keep_days=3).eligible(), key=ID).between(0, 10**9)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE todos_todo, accounts_user")
        cursor.execute(
            f"EXPLAIN DELETE FROM {range_of_ids.table} WHERE {range_of_ids.where}",
            range_of_ids.params,
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Scan using todos_todo_completed_id on todos_todo" in plan
    assert "hashed SubPlan" in plan
    assert "accounts_user_cleanup_rule" in plan
    assert "Seq Scan" not in plan


def test_database_that_fails_as_a_sweep_begins_stops_nothing(alice: User) -> None:
    give(alice, completed=3)
    store, failures = JsonStore(), [OperationalError("the server is shutting down")]

    def fail_at_first() -> None:
        if failures:
            raise failures.pop()

    store.before_step = fail_at_first
    assert TodoService.sweep(as_of=AS_OF, store=store)["todos_deleted"] == 3


def test_range_that_fails_once_is_tried_again_before_anybody_is_named(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(alice, completed=3)
    failures = [OperationalError("deadlock detected"), IntegrityError("for once")]
    act = Sweep.act

    def fail_at_first(self: Sweep, rows: Rows[int]) -> int:
        if failures:
            raise failures.pop()
        return act(self, rows)

    monkeypatch.setattr(Sweep, "act", fail_at_first)
    with pytest.raises(OperationalError):
        TodoService.sweep(as_of=AS_OF)
    assert Todo.objects.count() == 3

    failures.append(OperationalError("deadlock detected"))
    assert TodoService.sweep(as_of=AS_OF) == {
        "users_processed": 1,
        "todos_deleted": 3,
        "errors": [],
    }


def test_sweep_rests_after_each_range_for_as_long_as_it_is_told(
    alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(alice, completed=4)
    clock = iter(range(100))
    rests: list[float] = []
    monkeypatch.setattr(runner, "monotonic", lambda: next(clock))
    monkeypatch.setattr(runner, "sleep", rests.append)
    settings.TODO_SWEEP_PAUSE = 2.5
    TodoService.sweep(as_of=AS_OF, batch_size=2)
    assert rests == [2.5, 2.5]


def test_sweep_does_not_rest_for_as_long_as_the_database_was_away(
    alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(alice, completed=4)
    ten_minutes = iter(range(0, 600_000, 600))
    rests: list[float] = []
    monkeypatch.setattr(runner, "monotonic", lambda: next(ten_minutes))
    monkeypatch.setattr(runner, "sleep", rests.append)
    settings.TODO_SWEEP_PAUSE = 2
    TodoService.sweep(as_of=AS_OF, batch_size=2)
    assert rests == [10, 10]


def test_ranges_of_dense_todos_follow_each_other_without_counting(alice: User) -> None:
    give(alice, completed=400, open_=400)
    with CaptureQueriesContext(connection) as queries:
        TodoService.sweep(as_of=AS_OF, batch_size=40)
    assert sum("OFFSET" in query["sql"] for query in queries) == 1, "that of the first range"
    assert Todo.objects.completed().count() == 0


def test_large_ranges_are_as_wide_as_a_sample_says(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "SAMPLE_ROWS", 10)
    give(alice, completed=400, open_=400)
    told = [0]
    with CaptureQueriesContext(connection) as queries:
        TodoService.sweep(
            as_of=AS_OF, batch_size=40, on_batch=lambda batch: told.append(batch.rows)
        )
    offsets = [query["sql"] for query in queries if "OFFSET" in query["sql"]]
    assert [sql[-8:] for sql in offsets] == ["OFFSET 9"]
    assert Todo.objects.completed().count() == 0
    assert max(later - earlier for earlier, later in pairwise(told)) <= 80


@pytest.mark.parametrize("seed", range(5))
def test_no_range_has_more_than_twice_as_many_todos_as_asked_for(alice: User, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  (no secret)
    density = chance.choices([0.01, 0.1, 0.5, 1.0], k=10)
    give_each(alice, [chance.random() < share for share in density for _ in range(150)])
    completed = Todo.objects.completed().count()
    told = [0]

    TodoService.sweep(as_of=AS_OF, batch_size=20, on_batch=lambda batch: told.append(batch.rows))

    assert told[-1] == completed
    assert max(later - earlier for earlier, later in pairwise(told)) <= 40
