"""Races on PostgreSQL: what people do to their todos while a sweep runs, on two connections.

Each test holds a row with one connection, lets the sweep run into it on another, and only lets go
once the database itself says that the sweep is waiting.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import transaction
from pytest_django import Settings

from accounts.models import User
from tests.factories import AS_OF, LONG_AGO, new_todos
from tests.todos.locks import in_another_connection, wait_until_blocked
from todos.bulk.checkpoint import Checkpoint
from todos.bulk.sweep import SweepReport
from todos.models import Todo
from todos.services import TodoService

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@contextmanager
def sweep_beside() -> Iterator[Callable[..., Future[SweepReport]]]:
    """Yield what begins a sweep on another connection; wait for it when the block ends."""

    def begin(*, batch_size: int = 1000) -> Future[SweepReport]:
        return pool.submit(
            in_another_connection, lambda: TodoService.sweep(as_of=AS_OF, batch_size=batch_size)
        )

    with ThreadPoolExecutor(2) as pool:
        yield begin


@pytest.fixture(autouse=True, params=[0, 30], ids=["deleted", "moved"])
def _trash(request: pytest.FixtureRequest, settings: Settings) -> None:
    """Todos that are swept are deleted at once, or moved to the trash."""
    settings.TODO_TRASH_DAYS = request.param


@pytest.fixture
def todos(alice: User, bob: User) -> list[Todo]:
    """Alice's and Bob's, all completed long ago."""
    return new_todos(alice, bob, each=5)


def test_todo_reopened_during_cleanup_survives(todos: list[Todo]) -> None:
    mine = todos[4]
    with sweep_beside() as begin:
        with transaction.atomic():
            TodoService.reopen(user=mine.user, todo_id=mine.pk)
            sweep = begin()
            wait_until_blocked(sweep)
        result = sweep.result(timeout=10)

    assert list(Todo.objects.all()) == [mine]
    assert result["todos_deleted"] == len(todos) - 1


def test_todo_completed_anew_during_cleanup_survives(todos: list[Todo]) -> None:
    mine = todos[4]
    TodoService.reopen(user=mine.user, todo_id=mine.pk)
    Todo.objects.filter(pk=mine.pk).update(completed_at=LONG_AGO)
    with sweep_beside() as begin:
        with transaction.atomic():
            TodoService.reopen(user=mine.user, todo_id=mine.pk)
            TodoService.complete(user=mine.user, todo_id=mine.pk)
            sweep = begin()
            wait_until_blocked(sweep)
        result = sweep.result(timeout=10)

    survivor = Todo.objects.get()
    assert survivor == mine
    assert survivor.is_completed
    assert result["todos_deleted"] == len(todos) - 1


def test_todo_whose_reopening_is_taken_back_is_swept(todos: list[Todo]) -> None:
    mine = todos[4]
    with sweep_beside() as begin:
        with transaction.atomic():
            TodoService.reopen(user=mine.user, todo_id=mine.pk)
            sweep = begin()
            wait_until_blocked(sweep)
            transaction.set_rollback(True)
        result = sweep.result(timeout=10)

    assert not Todo.objects.exists()
    assert result["todos_deleted"] == len(todos)


def test_completed_todo_edited_during_cleanup_is_swept_all_the_same(todos: list[Todo]) -> None:
    mine = todos[4]
    with sweep_beside() as begin:
        with transaction.atomic():
            TodoService.edit(
                user=mine.user, todo_id=mine.pk, title="Edited", description="", due_on=None
            )
            sweep = begin()
            wait_until_blocked(sweep)
        result = sweep.result(timeout=10)

    assert not Todo.objects.exists()
    assert result["todos_deleted"] == len(todos)


def test_todos_of_an_owner_deactivated_between_two_batches_survive(
    todos: list[Todo], bob: User
) -> None:
    swept_before = 0

    def deactivate_bob(checkpoint: Checkpoint[int]) -> None:
        nonlocal swept_before
        if not swept_before:
            swept_before = checkpoint.rows
            with ThreadPoolExecutor(1) as pool:
                pool.submit(
                    in_another_connection,
                    lambda: User.objects.filter(pk=bob.pk).update(is_active=False),
                ).result()

    TodoService.sweep(as_of=AS_OF, batch_size=4, on_batch=deactivate_bob)

    assert swept_before == 4
    assert {todo.user_id for todo in Todo.objects.all()} == {bob.pk}
    assert Todo.objects.count() == 3


def test_owner_being_deactivated_neither_blocks_the_sweep_nor_is_blocked_by_it(
    todos: list[Todo], bob: User
) -> None:
    with sweep_beside() as begin, transaction.atomic():
        User.objects.filter(pk=bob.pk).update(is_active=False)
        # Not committed: to everyone else, Bob is still active.
        assert begin().result(timeout=10)["todos_deleted"] == len(todos)


def test_todo_created_and_completed_during_the_sweep_is_left_for_the_next(
    todos: list[Todo], alice: User
) -> None:
    def complete_another(checkpoint: Checkpoint[int]) -> None:
        todo = TodoService.create(user=alice, title="New")
        TodoService.complete(user=alice, todo_id=todo.pk)

    result = TodoService.sweep(as_of=AS_OF, batch_size=5, on_batch=complete_another)

    assert result["todos_deleted"] == len(todos)
    assert Todo.objects.filter(title="New").count() == 2


def test_two_sweeps_at_once_count_every_todo_exactly_once(alice: User) -> None:
    new_todos(alice, each=2_000)
    with sweep_beside() as begin:
        sweeps = [begin(batch_size=size) for size in (50, 70)]
        swept = [sweep.result(timeout=30)["todos_deleted"] for sweep in sweeps]

    assert sum(swept) == 2_000
    assert not Todo.objects.exists()


def test_person_whose_keep_time_is_raised_between_two_batches_keeps_the_rest(
    todos: list[Todo], bob: User
) -> None:
    def keep_for_a_year(checkpoint: Checkpoint[int]) -> None:
        User.objects.filter(pk=bob.pk).update(keep_completed_days=365)

    TodoService.sweep(as_of=AS_OF, batch_size=4, on_batch=keep_for_a_year)

    assert {todo.user_id for todo in Todo.objects.all()} == {bob.pk}
