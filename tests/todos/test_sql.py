"""What the SQL of bulk operations expects of parts of Django that are not documented."""

from datetime import UTC, datetime

import django
import pytest
from django.db import connection
from django.db.models import Field, Value
from django.db.models.functions import Lower

from accounts.models import User
from todos.bulk import sql
from todos.bulk.keys import ID
from todos.bulk.sql import Rows
from todos.functions import CurrentTime
from todos.models import Todo, TrashedTodo

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def field(name: str) -> "Field[object, object]":
    found = Todo._meta.get_field(name)
    assert isinstance(found, Field)
    return found


def test_django_is_the_version_whose_source_was_read() -> None:
    assert django.VERSION[:2] == sql.CHECKED_DJANGO, (
        "Django was upgraded. todos/bulk/sql.py uses parts of it that are not documented: read"
        " those at its end again in the new source, run the tests of todos/ on SQLite and"
        " PostgreSQL, then raise CHECKED_DJANGO."
    )


def test_condition_qualifies_its_columns_by_the_name_of_the_table(db: None) -> None:
    where, params = sql.compiled_where(Todo.objects.filter(title="x", completed_at=None))
    assert '"todos_todo"."title" = %s' in where
    assert '"todos_todo"."completed_at" IS NULL' in where
    assert params == ("x",)


def test_parameters_of_a_subquery_stand_in_its_place(alice: User) -> None:
    Todo.objects.create(user=alice, title="x", completed_at=NOON)
    where, params = sql.compiled_where(Todo.objects.due_for_cleanup(as_of=NOON, keep_days=3))
    assert where.count("%s") == len(params)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM todos_todo WHERE {where}", params)
        assert cursor.fetchone() == (0,)


def test_condition_that_holds_for_all_rows_or_for_none_is_one_all_the_same(alice: User) -> None:
    for _ in range(2):
        Todo.objects.create(user=alice, title="x")
    assert Rows.of(Todo.objects.filter(pk__in=[]), key=ID).delete() == 0
    assert Rows.of(Todo.objects.none(), key=ID).delete() == 0
    assert Rows.of(Todo.objects.exclude(pk__in=[]), key=ID).delete() == 2
    assert Rows.of(Todo.objects.all(), key=ID).delete() == 0


@pytest.mark.parametrize("lookup", ["user__username", "user__is_active"])
def test_join_is_refused(db: None, lookup: str) -> None:
    with pytest.raises(ValueError, match="without joins"):
        Rows.of(Todo.objects.filter(**{lookup: 1}), key=ID)


def test_limit_is_refused(db: None) -> None:
    with pytest.raises(ValueError, match="without joins or limits"):
        Rows.of(Todo.objects.all()[:5], key=ID)


def test_querysets_are_left_as_they_are(alice: User) -> None:
    todos = Todo.objects.filter(user=alice)
    before = str(todos.query)
    Rows.of(todos, key=ID)
    assert str(todos.query) == before


def test_columns_are_named_as_in_the_database() -> None:
    assert sql.column(field("user")) == '"user_id"'
    assert sql.column(field("title")) == '"title"'
    assert Rows.of(TrashedTodo.objects.all(), key=ID).table == '"todos_trashedtodo"'


def test_value_goes_into_the_database_and_comes_back_as_it_was(alice: User) -> None:
    completed_at = field("completed_at")
    Todo.objects.create(user=alice, title="x", completed_at=NOON)
    value, params = sql.compiled_value(completed_at, NOON)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT completed_at FROM todos_todo WHERE completed_at = {value}", params)
        (found,) = cursor.fetchone()
    assert sql.loaded(completed_at, found) == NOON


def test_expression_becomes_sql_with_its_parameters(db: None) -> None:
    assert sql.compiled_value(field("title"), Lower(Value("ABC"))) == ("LOWER(%s)", ("ABC",))
    now, params = sql.compiled_value(field("restored_at"), CurrentTime())
    assert (now, params) == ("STATEMENT_TIMESTAMP()", ()) or (now, len(params)) == ("%s", 1)
