"""One clock stamps and decides: the database's. A purge does not trust it blindly."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from tests.factories import trash
from tests.todos.clocks import database_says, host_is_ahead, host_says
from tests.todos.sweeping import Run
from todos.bounds import check_purge, check_restore, check_sweep
from todos.clock import ClocksDisagree, database_now
from todos.models import Todo, TrashedTodo
from todos.services import TodoService

DAY = timedelta(days=1)
THEN = datetime(2026, 3, 1, 2, tzinfo=UTC)


@pytest.mark.postgresql
def test_every_moment_that_is_stored_is_the_databases_whatever_the_host_thinks(
    alice: User,
) -> None:
    before = database_now()
    with host_says(before - 30 * DAY):
        kept = TodoService.create(user=alice, title="Kept")
        kept = TodoService.complete(user=alice, todo_id=kept.pk)
        gone = TodoService.create(user=alice, title="Gone")
        TodoService.delete(user=alice, todo_id=gone.pk)
        back = TodoService.create(user=alice, title="Back")
        TodoService.delete(user=alice, todo_id=back.pk)
        back = TodoService.restore(user=alice, todo_id=back.pk)
    after = database_now()

    stamps = {
        "created": kept.created_at,
        "completed": kept.completed_at,
        "trashed": TrashedTodo.objects.get().trashed_at,
        "restored": back.restored_at,
    }
    for name, moment in stamps.items():
        assert moment is not None, name
        assert before <= moment <= after, name


def test_todo_can_be_read_as_soon_as_it_was_created(alice: User) -> None:
    todo = TodoService.create(user=alice, title="New")
    assert todo.created_at == Todo.objects.get().created_at
    assert abs(todo.created_at - database_now()) < timedelta(minutes=10)


@pytest.mark.parametrize("apart", [-30 * DAY, -timedelta(minutes=61), 30 * DAY])
def test_nothing_is_swept_or_purged_while_host_and_database_disagree(
    alice: User, apart: timedelta
) -> None:
    swept_an_hour_ago(alice)
    with host_is_ahead(apart):
        with pytest.raises(ClocksDisagree, match="more than an hour apart") as refused:
            TodoService.purge(as_of=timezone.now())
        for clock in (timezone.now(), timezone.now() - apart):
            assert f"{clock:%Y-%m-%d %H:%M} UTC" in str(refused.value)
        with pytest.raises(ClocksDisagree):
            TodoService.purge(as_of=timezone.now(), days=0)
        with pytest.raises(ClocksDisagree):
            TodoService.preview_purge(as_of=timezone.now())
        for sweep in (TodoService.sweep, TodoService.preview_sweep):
            with pytest.raises(ClocksDisagree):
                sweep(as_of=timezone.now())
    assert TrashedTodo.objects.count() == 1


def test_clocks_a_few_minutes_apart_stop_no_purge(alice: User) -> None:
    swept_an_hour_ago(alice)
    with host_is_ahead(timedelta(minutes=5)):
        assert TodoService.purge(as_of=timezone.now())["todos_purged"] == 0
        assert TodoService.purge(as_of=timezone.now(), days=0)["todos_purged"] == 1


def test_moment_to_come_is_taken_for_now(alice: User) -> None:
    swept_an_hour_ago(alice)
    new = TodoService.create(user=alice, title="New")
    TodoService.complete(user=alice, todo_id=new.pk)
    in_a_year = database_now() + 365 * DAY

    assert TodoService.preview_purge(as_of=in_a_year)["todos_purged"] == 0
    assert TodoService.purge(as_of=in_a_year)["todos_purged"] == 0
    assert TodoService.preview_sweep(as_of=in_a_year, keep_days=10)["todos_deleted"] == 0
    assert TodoService.sweep(as_of=in_a_year, keep_days=10)["todos_deleted"] == 0


def test_sweep_that_is_continued_goes_by_the_moment_it_began_with(alice: User) -> None:
    run = Run(1)
    with database_says(THEN):
        assert TodoService.sweep(as_of=THEN + DAY, store=run)["todos_deleted"] == 0
    Todo.objects.create(user=alice, title="Done since", completed_at=THEN)
    # The end of its way is where it was; only what it goes by is looked at.
    with run.step() as stored:
        stored.update(first=Todo.objects.get().pk, last=Todo.objects.get().pk)
    assert TodoService.sweep(as_of=THEN + DAY, store=run)["todos_deleted"] == 0
    assert TodoService.sweep(as_of=THEN + DAY)["todos_deleted"] == 1


def swept_an_hour_ago(user: User) -> None:
    """Put a todo into the trash, as the cleanup did an hour ago."""
    trash(user, "Swept", trashed_at=database_now() - timedelta(hours=1))


# Switching the trash off, and for how long it keeps what is there


@pytest.mark.parametrize(
    ("promised", "now", "kept"), [(30, 0, 30), (30, 1, 30), (90, 0, 90), (10, 0, 10), (10, 30, 30)]
)
def test_todo_stays_for_the_days_it_was_promised_or_more(
    alice: User, settings: Settings, promised: int, now: int, kept: int
) -> None:
    settings.TODO_TRASH_DAYS = promised
    trash(alice, "Gone", trashed_at=THEN)
    settings.TODO_TRASH_DAYS = now

    assert TodoService.purge(as_of=THEN + kept * DAY)["todos_purged"] == 0
    later = THEN + kept * DAY + timedelta(microseconds=1)
    assert TodoService.preview_purge(as_of=later)["todos_purged"] == 1
    assert TodoService.purge(as_of=later)["todos_purged"] == 1


def test_nothing_more_enters_a_trash_that_is_switched_off(alice: User, settings: Settings) -> None:
    settings.TODO_TRASH_DAYS = 0
    todo = Todo.objects.create(user=alice, title="Gone")
    TodoService.delete(user=alice, todo_id=todo.pk)
    assert not TrashedTodo.objects.exists()


def test_purge_told_how_many_days_goes_by_them_alone(alice: User, settings: Settings) -> None:
    swept_an_hour_ago(alice)
    settings.TODO_TRASH_DAYS = 0
    assert TodoService.purge(as_of=database_now())["todos_purged"] == 0
    assert TodoService.purge(as_of=database_now(), days=0)["todos_purged"] == 1


# Numbers that make no sense


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"keep_days": -1}, "keep_days must be from 0 to 3,650, not -1."),
        ({"keep_days": 3_651}, "keep_days must be from 0 to 3,650, not 3651."),
        ({"keep_days": "3"}, "keep_days must be a whole number, not '3'."),
        ({"keep_days": True}, "keep_days must be a whole number, not True."),
        ({"batch_size": 0}, "batch_size must be from 1 to 1,000,000, not 0."),
    ],
)
def test_sweep_refuses_numbers_out_of_bounds(
    alice: User, arguments: dict[str, Any], complaint: str
) -> None:
    Todo.objects.create(user=alice, title="Done", completed_at=THEN)
    with pytest.raises(ValueError, match=complaint):
        TodoService.sweep(as_of=database_now(), **arguments)
    with pytest.raises(ValueError, match=complaint):
        check_sweep(**arguments)
    assert Todo.objects.exists()


@pytest.mark.parametrize("user_id", [0, -1, 2**63, 1.0])
def test_id_that_is_none_is_refused(user_id: int) -> None:
    with pytest.raises(ValueError, match="user_id must be"):
        check_sweep(user_id=user_id)
    with pytest.raises(ValueError, match="user_id must be"):
        check_purge(user_id=user_id)
    with pytest.raises(ValueError, match="run_id must be"):
        check_restore(run_id=user_id)


def test_purge_refuses_days_out_of_bounds(alice: User) -> None:
    swept_an_hour_ago(alice)
    with pytest.raises(ValueError, match="days must be from 0 to 3,650, not -1"):
        TodoService.purge(as_of=database_now(), days=-1)
    assert TrashedTodo.objects.exists()


@pytest.mark.parametrize("since", ["", "yesterday", "2026-11-23", "2026-11-23T02:00:00", 5])
def test_restore_refuses_what_is_no_moment_with_a_zone(since: str) -> None:
    with pytest.raises(ValueError, match="since must be a moment with a zone"):
        check_restore(user_id=1, since=since)


def test_what_makes_sense_is_not_refused() -> None:
    check_sweep(keep_days=0, batch_size=1, user_id=1)
    check_sweep()
    check_purge(days=3_650, user_id=2**63 - 1, batch_size=1_000_000)
    check_restore(run_id=1, user_id=1, since="2026-11-23T02:00:00Z")
