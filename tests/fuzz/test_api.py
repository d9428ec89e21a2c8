"""The API does what its document says: `python -m tests.fuzz` asks it more."""

import logging
import sys
from collections.abc import Iterator

import pytest

from accounts.api.callers import BearerToken, Caller
from accounts.models import User
from accounts.services import UserService
from project.api.middleware import ApiMiddleware
from tests.fuzz.api import Server, ask, serving, todos_of
from tests.fuzz.options import FEW, REQUESTS, SEED
from todos.api.answers import leaving_of
from todos.api.schemas import TodoOut
from todos.models import Todo, TrashedTodo
from todos.services import TodoService

#: Of all requests, for so many there is one example of each operation.
SHARE = 100


@pytest.fixture
def server(transactional_db: None) -> Iterator[Server]:
    # Each refusal is one line.
    logging.disable(logging.CRITICAL)
    try:
        with serving() as server:
            yield server
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.sql
@pytest.mark.timeout(0 if REQUESTS > FEW else 300)
def test_api_does_what_its_document_says(server: Server) -> None:
    found = ask(server, examples=max(2, REQUESTS // SHARE), seed=SEED)
    for (operation, status), number in sorted(server.answers.items()):
        sys.stdout.write(f"{operation} {status}: {number}\n")
    sys.stdout.write(f"{server.answers.total()} requests to the API, of seed {SEED}\n")
    assert not found, "\n\n".join(found)
    assert todos_of(User.objects.get(username="bob")) == server.planted.others


def fail(**_: object) -> None:
    raise RuntimeError("a mistake")


def without_etag(user: User, todo: Todo, _: object) -> TodoOut:
    return TodoOut.of(todo, leaving_of(user))


@pytest.mark.sql
def test_faults_of_the_api_are_found(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = User.objects.get(username="alice")
    monkeypatch.setattr(UserService, "set_preferences", fail)
    monkeypatch.setattr(TodoService, "purge_selected", lambda **_: 0)
    monkeypatch.setattr(BearerToken, "authenticate", lambda *_: Caller(alice))
    monkeypatch.setattr(ApiMiddleware, "__call__", lambda self, got: self.get_response(got))
    monkeypatch.setattr("todos.api.todos.answer", without_etag)
    monkeypatch.setattr("todos.api.trash.trash_of", lambda _: TrashedTodo.objects.all())
    found = "\n".join(ask(server, examples=1, seed=1, phases=["examples"]))
    for fault in (
        "not_a_server_error: PATCH /api/v1/preferences",
        "content_type_conformance: PATCH /api/v1/preferences",
        "response_headers_conformance: POST /api/v1/todos: Missing required",
        "ignored_auth: GET /api/v1/me",
        "DELETE /api/v1/trash/{todo_id} has never answered with success.",
        "It may be kept.",
        "It shows what is another person's.",
        "An error is text/html",
    ):
        assert fault in found
