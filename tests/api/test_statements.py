"""How many statements an operation costs."""

from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from tests.api.clients import Answer, Program, ids_of
from tests.api.operations import all_operations, valid
from tests.factories import new_todos
from todos.models import Todo
from todos.services import TodoService


@pytest.fixture
def many(api: Program, alice: User) -> list[int]:
    """Ten thousand todos of alice's, and a trash: their ids. The use of her token is noted."""
    gone = [todo.pk for todo in new_todos(alice, each=1_000)]
    TodoService.delete_selected(todos=Todo.objects.filter(pk__in=gone), by=alice)
    todos = new_todos(alice, each=5_000) + new_todos(alice, each=5_000, completed_at=None)
    assert api.get("/cleanup/next").status == 200
    return [todo.pk for todo in todos]


def statements_of(ask: Callable[[], Answer]) -> list[str]:
    """Return the statements of a request, without those that begin and end transactions."""
    with CaptureQueriesContext(connection) as captured:
        answer = ask()
    assert answer.status in {200, 201, 204}, answer.content
    return [one["sql"] for one in captured if not of_a_transaction(one["sql"])]


#: The most statements of an operation, where it is not six.
MOST_STATEMENTS = {"listTodos": 4, "createTodo": 4}


def test_number_of_statements_does_not_grow_with_the_list(api: Program, many: list[int]) -> None:
    in_trash = ids_of(api.get("/trash"))[0]
    for operation in all_operations():
        pk = in_trash if "trash" in operation.path else many[0]
        path, body = operation.at(pk), valid(operation, pk)
        with transaction.atomic():
            statements = statements_of(partial(api.ask, operation.method, path, body))
            transaction.set_rollback(True)
        assert len(statements) <= MOST_STATEMENTS.get(operation.name, 6), statements


def of_a_transaction(statement: str) -> bool:
    return statement.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK"))


def test_filters_keys_and_preconditions_cost_few_statements(api: Program, many: list[int]) -> None:
    etag = api.get(f"/todos/{many[0]}").etag
    body = {"title": "a"}
    for most, ask in (
        (4, lambda: api.get("/todos?limit=50&q=todo&completed=false&due=never")),
        (4, lambda: api.post("/todos", body, Idempotency_Key="key")),
        (6, lambda: api.post("/todos", body, Idempotency_Key="key")),
        (6, lambda: api.patch(f"/todos/{many[0]}", body, If_Match=etag)),
        (6, lambda: api.patch("/preferences", {"theme": "dark"}, If_Match="*")),
    ):
        statements = statements_of(ask)
        assert len(statements) <= most, statements


def test_whoever_has_no_token_costs_one_statement_at_most(db: None) -> None:
    for header, most in ((f"Bearer tidy_{'a' * 8}_{'b' * 32}", 1), ("Bearer a", 0), ("", 0)):
        with CaptureQueriesContext(connection) as captured:
            assert Program().get("/todos", Authorization=header).status == 401
        assert len(captured) <= most
