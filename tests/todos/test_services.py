"""What people can do with their todos."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from accounts.models import User
from todos.models import Todo
from todos.services import TodoNotFound, TodoService

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_new_todo_is_open_and_its_title_stands_on_one_line(alice: User) -> None:
    todo = TodoService.create(
        user=alice, title="  Water\n the\tplants ", description="All 3\n", due_on=date(2026, 4, 1)
    )

    todo.refresh_from_db()
    assert todo.title == "Water the plants"
    assert todo.description == "All 3\n"
    assert todo.due_on == date(2026, 4, 1)
    assert todo.is_completed is False


@pytest.mark.parametrize("title", ["", "   ", "\n", "x" * 201, "nul\x00"])
def test_todo_with_a_wrong_title_is_refused_and_nothing_is_kept(alice: User, title: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TodoService.create(user=alice, title=title)
    assert set(refused.value.message_dict) == {"title"}
    assert not Todo.objects.exists()


def test_title_of_200_characters_fits(alice: User) -> None:
    assert TodoService.create(user=alice, title="ü" * 200).pk


def test_edit_replaces_what_is_said_and_leaves_the_rest(alice: User) -> None:
    todo = Todo.objects.create(user=alice, title="Old", completed_at=NOON)

    edited = TodoService.edit(
        user=alice, todo_id=todo.pk, title="New ", description="Text", due_on=None
    )

    assert (edited.title, edited.description, edited.due_on) == ("New", "Text", None)
    assert edited.completed_at == NOON


def test_edit_leaves_what_is_not_said(alice: User) -> None:
    todo = TodoService.create(user=alice, title="Old", description="Text")

    assert TodoService.edit(user=alice, todo_id=todo.pk, title="New").description == "Text"
    assert TodoService.edit(user=alice, todo_id=todo.pk, description="").title == "New"
    assert TodoService.edit(user=alice, todo_id=todo.pk) == todo


@pytest.mark.parametrize("field", ["completed_at", "created_at", "user_id", "pk", "is_completed"])
def test_what_has_a_verb_of_its_own_is_not_edited(alice: User, field: str) -> None:
    values: Any = {field: 7}
    with pytest.raises(TypeError, match=field):
        TodoService.create(user=alice, title="New", **values)
    todo = TodoService.create(user=alice, title="Old")
    with pytest.raises(TypeError, match=field):
        TodoService.edit(user=alice, todo_id=todo.pk, **values)


def test_edit_with_a_wrong_title_changes_nothing(alice: User) -> None:
    todo = TodoService.create(user=alice, title="Old")
    with pytest.raises(ValidationError):
        TodoService.edit(user=alice, todo_id=todo.pk, title=" ", description="", due_on=None)
    todo.refresh_from_db()
    assert todo.title == "Old"


def test_completing_twice_keeps_the_first_time(alice: User) -> None:
    todo = TodoService.create(user=alice, title="Once")

    first = TodoService.complete(user=alice, todo_id=todo.pk).completed_at
    second = TodoService.complete(user=alice, todo_id=todo.pk).completed_at

    assert first is not None
    assert first == second


def test_reopened_todo_is_open_again(alice: User) -> None:
    todo = Todo.objects.create(user=alice, title="Again", completed_at=NOON)

    assert TodoService.reopen(user=alice, todo_id=todo.pk).is_completed is False
    assert TodoService.reopen(user=alice, todo_id=todo.pk).is_completed is False


def test_deleted_todo_is_gone(alice: User) -> None:
    todo = TodoService.create(user=alice, title="Gone")
    TodoService.delete(user=alice, todo_id=todo.pk)
    assert not Todo.objects.exists()


@pytest.mark.parametrize("verb", ["edit", "complete", "reopen", "delete"])
def test_somebody_elses_todo_is_not_found_and_stays_as_it_is(
    alice: User, bob: User, verb: str
) -> None:
    todo = Todo.objects.create(user=bob, title="Bob's", completed_at=NOON)
    texts = {"title": "Mine", "description": "", "due_on": None} if verb == "edit" else {}

    with pytest.raises(TodoNotFound):
        getattr(TodoService, verb)(user=alice, todo_id=todo.pk, **texts)

    todo.refresh_from_db()
    assert (todo.title, todo.completed_at) == ("Bob's", NOON)


def test_clearing_a_list_takes_everything_done_whatever_the_keep_time(
    alice: User, bob: User
) -> None:
    alice.keep_completed_days = 365
    alice.save()
    mine = TodoService.create(user=alice, title="Open")
    for user in (alice, alice, bob):
        todo = TodoService.create(user=user, title="Done")
        TodoService.complete(user=user, todo_id=todo.pk)

    assert TodoService.delete_completed_todos(user=alice) == 2
    assert list(Todo.objects.filter(user=alice)) == [mine]
    assert Todo.objects.filter(user=bob).count() == 1


def test_completing_a_selection_counts_only_what_was_open(alice: User) -> None:
    done = Todo.objects.create(user=alice, title="Done", completed_at=NOON)
    Todo.objects.create(user=alice, title="Open")

    assert TodoService.complete_selected(todos=Todo.objects.all()) == 1
    done.refresh_from_db()
    assert done.completed_at == NOON
    assert TodoService.reopen_selected(todos=Todo.objects.all()) == 2
    assert Todo.objects.open().count() == 2
