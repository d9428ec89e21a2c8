"""Races around the trash on PostgreSQL: several at it at once, each on a connection of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from tests.factories import AS_OF, LONG_AGO, new_todos
from tests.todos.locks import in_another_connection, wait_until_blocked
from tests.todos.sweeping import Run, rows
from todos.models import Todo, TrashedTodo
from todos.services import TodoService

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

TODOS = 1_000


@pytest.fixture
def before(alice: User, bob: User) -> dict[int, dict[str, Any]]:
    """Alice's and Bob's todos, all swept by run 1: what they were."""
    new_todos(alice, bob, each=TODOS // 2)
    kept = rows(Todo)
    assert sweep() == TODOS
    return kept


def sweep(batch_size: int = 300) -> int:
    report = TodoService.sweep(as_of=AS_OF, batch_size=batch_size, store=Run(1))
    return report["todos_deleted"]


def restore(batch_size: int = 70) -> int:
    swept = TrashedTodo.objects.swept_by(1)
    return TodoService.restore_selected(todos=swept, batch_size=batch_size)["todos_restored"]


def purge(batch_size: int = 50) -> int:
    return TodoService.purge(as_of=datetime.now(UTC), days=0, batch_size=batch_size)["todos_purged"]


def at_once(*works: Callable[[], int]) -> list[int]:
    """Do all of it at the same time; return what each returned."""
    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(in_another_connection, work) for work in works]
        return [future.result(timeout=60) for future in futures]


def test_run_that_two_restore_at_once_comes_back_once(before: dict[int, dict[str, Any]]) -> None:
    assert sum(at_once(restore, lambda: restore(batch_size=110))) == TODOS
    assert rows(Todo) == before
    assert not TrashedTodo.objects.exists()


def test_todo_is_either_restored_or_purged_when_both_are_at_it(
    before: dict[int, dict[str, Any]],
) -> None:
    restored, purged = at_once(restore, purge)
    assert restored + purged == TODOS
    assert Todo.objects.count() == restored
    assert rows(Todo).items() <= before.items()
    assert not TrashedTodo.objects.exists()


def test_sweeps_and_restorings_at_once_lose_and_double_nothing(
    before: dict[int, dict[str, Any]],
) -> None:
    counts = at_once(restore, sweep, restore, sweep, lambda: restore(batch_size=13))

    live, trashed = rows(Todo), rows(TrashedTodo)
    assert not live.keys() & trashed.keys()
    assert live | trashed == before
    # What was restored is kept for a week: no sweep took it again.
    assert counts[1] == counts[3] == 0


def test_person_reopening_what_the_sweep_is_about_to_move_keeps_it(alice: User) -> None:
    mine, other = (
        Todo.objects.create(user=alice, title="Done", completed_at=LONG_AGO) for _ in range(2)
    )
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            TodoService.reopen(user=alice, todo_id=mine.pk)
            swept = pool.submit(in_another_connection, sweep)
            wait_until_blocked(swept)
        assert swept.result(timeout=10) == 1
    assert [todo.pk for todo in Todo.objects.all()] == [mine.pk]
    assert [todo.pk for todo in TrashedTodo.objects.all()] == [other.pk]


def test_todo_that_is_on_its_way_to_the_trash_goes_with_its_owners_account(
    alice: User, bob: User
) -> None:
    hers, his = (
        Todo.objects.create(user=user, title="Done", completed_at=LONG_AGO) for user in (alice, bob)
    )
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            TodoService.delete(user=bob, todo_id=his.pk)
            # Moved, and not yet committed, when the deletion comes to the todos.
            TodoService.delete(user=alice, todo_id=hers.pk)
            deletion = pool.submit(in_another_connection, lambda: alice.delete()[0])
            wait_until_blocked(deletion)
        deletion.result(timeout=10)
    assert [todo.user for todo in TrashedTodo.objects.all()] == [bob]
    assert not Todo.objects.exists()


def test_account_that_is_deleted_while_its_todos_come_back_leaves_no_todo_without_an_owner(
    before: dict[int, dict[str, Any]], alice: User, bob: User
) -> None:
    def delete_alice() -> int:
        while True:
            with suppress(IntegrityError):  # Some came back in between: it is tried again.
                return alice.delete()[0]

    at_once(restore, delete_alice)

    restore()
    assert set(User.objects.all()) == {bob}
    assert {row["user_id"] for row in rows(Todo).values()} == {bob.pk}
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM todos_trashedtodo WHERE user_id = %s", [alice.pk])
        assert cursor.fetchone() == (0,)
