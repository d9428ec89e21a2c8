"""Todos: what the table holds."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction
from django.db.models.deletion import Collector

from accounts.models import User
from todos.models import Todo

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_todo_is_completed_exactly_when_it_has_a_completion_time(alice: User) -> None:
    done = Todo.objects.create(user=alice, title="Water the plants", completed_at=NOON)
    still_open = Todo.objects.create(user=alice, title="Call Bob")

    assert done.is_completed is True
    assert still_open.is_completed is False
    assert list(Todo.objects.completed()) == [done]
    assert list(Todo.objects.open()) == [still_open]


@pytest.mark.parametrize("title", ["", " ", "\t\n", "\u3000"])
def test_database_refuses_a_blank_title(alice: User, title: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Todo.objects.create(user=alice, title=title)
    assert not Todo.objects.exists()


def test_deleting_todos_needs_no_look_at_each(db: None) -> None:
    """A foreign key to todos, or a listener to their deletion, would have each row loaded."""
    assert Collector(using="default", origin=Todo.objects.all()).can_fast_delete(Todo.objects.all())
