"""What is refused, and how everything that goes wrong is answered."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings as site
from django.db import IntegrityError, connection
from pytest_django import Settings

from accounts.models import User
from accounts.services import UserService
from project.api.requests import MAX_BODY_BYTES
from project.gate import gate
from tests.api.clients import BASE, Program, assert_problem, program_of
from tests.api.operations import Operation, all_operations, named, valid
from tests.factories import new_todo, new_todos, trash
from tests.rows import all_rows, without_visits
from tests.todos.locks import locked, short_of_patience
from todos.models import Todo
from todos.services import TodoService

#: A moment in a minute of which 20 seconds are left.
FORTY_SECONDS = 1_000.0

every_operation = pytest.mark.parametrize("operation", all_operations(), ids=named)
with_body = pytest.mark.parametrize(
    "operation", [one for one in all_operations() if one.body], ids=named
)


@pytest.fixture
def careless(api: Program) -> Program:
    """Alice's program, answered by a site that has mistakes."""
    api.client.raise_request_exception = False
    return api


@pytest.fixture
def _standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have limits stay within one minute."""
    monkeypatch.setattr("accounts.limits.time", lambda: FORTY_SECONDS)


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def unnoted(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Leave out when a token was used."""
    return {name: found for name, found in without_visits(rows).items() if name != "accounts.Token"}


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/..", "/../../api"),
        *("/nothing", "/todos/", "/todos/x", "/todos/-1", f"/todos/{2**63}"),
        *("/todos/1/", "/todos/1/nothing", "/trash/1e3", "/openapi"),
        *("/../v2/todos", "/todos/%D9%A3", "/todos/" + "9" * 5_000),
    ],
)
def test_address_that_is_none_is_not_found(api: Program, settings: Settings, path: str) -> None:
    settings.DEBUG = True  # Django would refuse to lead a POST to an address with a slash.
    for method in ("GET", "PUT", "POST"):
        assert_problem(api.ask(method, path), 404, "not-found")
    assert api.ask("HEAD", path).status == 404


@every_operation
def test_another_method_is_told_which_the_address_takes(
    api: Program, alice: User, operation: Operation
) -> None:
    taken = {one.method for one in all_operations() if one.path == operation.path}
    path = operation.at(new_todo(alice).pk)
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - taken:
        for program in (api, Program()):
            answer = program.ask(method, path)
            assert_problem(answer, 405, "method-not-allowed")
            reading = {"HEAD"} if "GET" in taken else set[str]()
            allowed = {one.strip() for one in answer.headers["Allow"].split(",")}
            assert allowed == taken | reading


def test_full_list_takes_no_more(
    api: Program, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("todos.services.MAX_TODOS", 2)
    new_todos(alice, each=2)
    for headers in ({}, {"Idempotency_Key": "key"}):
        assert_problem(api.post("/todos", {"title": "a"}, **headers), 409, "list-full")
    assert Todo.objects.count() == 2


@with_body
def test_body_may_have_so_many_bytes_and_no_more(
    api: Program, alice: User, operation: Operation
) -> None:
    todo = new_todo(alice, completed_at=None)
    before = all_rows()
    body = json.dumps(valid(operation, todo.pk)).encode()
    too_long = body + b" " * (MAX_BODY_BYTES + 1 - len(body))
    assert_problem(api.ask(operation.method, operation.at(todo.pk), too_long), 413)
    assert_problem(api.ask(operation.method, operation.at(todo.pk), b" " * (4 * 2**20)), 413)
    assert unnoted(all_rows()) == unnoted(before)
    long_enough = too_long[:-1]
    assert api.ask(operation.method, operation.at(todo.pk), long_enough).status < 405


def test_longest_description_fits_into_a_body(api: Program) -> None:
    description = "\U0001f600" * 10_000
    assert api.post("/todos", {"title": "a", "description": description}).status == 201


@with_body
@pytest.mark.parametrize(
    "content_type",
    [
        *("", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "x"),
        *("application/json; charset=latin-1", "multipart/form-data; boundary=a"),
    ],
)
def test_body_has_to_be_json(api: Program, operation: Operation, content_type: str) -> None:
    before = all_rows()
    headers = {"Content-Type": content_type}
    answer = api.ask(operation.method, operation.at(1), valid(operation, 1), **headers)
    # An encoding that is not UTF-8 is refused for the whole site.
    assert_problem(answer, 400 if "latin" in content_type else 415)
    assert unnoted(all_rows()) == unnoted(before)


@pytest.mark.parametrize("parameter", ["", "; charset=utf-8", "; charset=UTF-8"])
def test_body_may_say_that_it_is_in_utf_8(api: Program, parameter: str) -> None:
    headers = {"Content-Type": f"application/json{parameter}"}
    assert api.post("/todos", {"title": "Straße"}, **headers).json["title"] == "Straße"


@pytest.mark.parametrize("operation", [one for one in all_operations() if not one.body], ids=named)
def test_operation_without_a_body_takes_none(
    api: Program, alice: User, operation: Operation
) -> None:
    todo = new_todo(alice)
    before = all_rows()
    bodies: list[Any] = [{"title": "Milk"}, []]
    for body in bodies:
        answer = api.ask(operation.method, operation.at(todo.pk), body)
        assert_problem(answer, 400, "no-body")
    assert unnoted(all_rows()) == unnoted(before)


def test_empty_object_where_no_body_is_taken_is_none(api: Program, alice: User) -> None:
    """As clients send that always send JSON."""
    todo = new_todo(alice, completed_at=None)
    assert api.post(f"/todos/{todo.pk}/complete", {}).status == 200


@with_body
@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{",
        b"{}}",
        b"\xef\xbb\xbf{}",
        b'{"title": "\xff"}',
        '{"title": "ü"}'.encode("latin-1"),
        '{"title": "a"}'.encode("utf-16"),
        b'{"title": "a", "title": "b"}',
        b'{"ids": [1], "ids": [2]}',
        b'{"title": NaN}',
        b'{"ids": [Infinity]}',
        b'{"ids": [-Infinity]}',
        b'{"title": "a\tb"}',
        b"[" * 60_000,
        b'{"a":' * 20_000,
        b"[" * 60_000 + b"]" * 60_000,
        b'{"ids": [' + b"9" * 5_000 + b"]}",
    ],
    ids=lambda body: body[:20].decode("latin-1") if isinstance(body, bytes) else "",
)
def test_body_that_is_no_json_is_malformed(
    careless: Program, operation: Operation, body: bytes
) -> None:
    before = all_rows()
    answer = careless.ask(operation.method, operation.at(1), body)
    assert_problem(answer, 400, "malformed")
    assert unnoted(all_rows()) == unnoted(before)


@with_body
@pytest.mark.parametrize("body", [[], "a", 1, None, True, [[]], [{"title": "a"}]])
def test_body_that_is_no_object_is_refused(api: Program, operation: Operation, body: Any) -> None:
    answer = api.ask(operation.method, operation.at(1), json.dumps(body).encode())
    assert_problem(answer, 422, "invalid")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"title"}),
        ({"title": None}, {"title"}),
        ({"title": ""}, {"title"}),
        ({"title": " \t"}, {"title"}),
        ({"title": 1}, {"title"}),
        ({"title": True}, {"title"}),
        ({"title": ["a"]}, {"title"}),
        ({"title": "a" * 201}, {"title"}),
        ({"title": "a\0b"}, {"title"}),
        ({"title": "\ud800"}, {"title"}),
        ({"title": "a\udfff"}, {"title"}),
        ({"title": "a", "description": None}, {"description"}),
        ({"title": "a", "description": "\0"}, {"description"}),
        ({"title": "a", "description": "\ud800"}, {"description"}),
        ({"title": "a", "description": "a" * 10_001}, {"description"}),
        ({"title": "a", "due_on": ""}, {"due_on"}),
        ({"title": "a", "due_on": 0}, {"due_on"}),
        ({"title": "a", "due_on": "2026-02-29"}, {"due_on"}),
        ({"title": "a", "due_on": "2026-02-28T00:00:00Z"}, {"due_on"}),
        ({"title": "a", "due_on": "20260228"}, {"due_on"}),
        ({"title": "a", "due_on": "0001-01-01"}, {"due_on"}),
        ({"title": "a", "due_on": "9999-12-31"}, {"due_on"}),
        ({"title": "a", "id": 1}, {"id"}),
        ({"title": "a", "user": 1, "completed_at": None}, {"user", "completed_at"}),
        ({"title": "a", "": 1}, {""}),
        ({"title": "a", "\0": 1}, {"\0"}),
        ({"title": "a", "\ud800": 1}, {""}),  # It is no text that could be named.
        ({"title": "", "description": 1, "due_on": "x"}, {"title", "description", "due_on"}),
    ],
)
def test_each_field_that_is_not_accepted_is_named_and_nothing_is_written(
    careless: Program, alice: User, fields: dict[str, Any], wrong: set[str]
) -> None:
    todo = new_todo(alice)
    before = all_rows()
    answers = [careless.post("/todos", fields)]
    if "title" not in wrong or "title" in fields:
        answers.append(careless.patch(f"/todos/{todo.pk}", fields))
    for answer in answers:
        assert_problem(answer, 422, "invalid")
        assert answer.fields == {("body", name) for name in wrong}
        assert all(error["detail"] for error in answer.json["errors"])
    assert unnoted(all_rows()) == unnoted(before)


@pytest.mark.parametrize(
    "ids",
    [
        *(None, 1, "1", {}, [], [None], ["1"], [1.5], [True], [0], [-1], [2**63], [10**400]),
        *([1e300], [[1]], list(range(1, 1_002))),
    ],
    ids=lambda ids: str(ids)[:12],
)
@pytest.mark.parametrize("path", ["/trash/restore", "/trash/delete"])
def test_selection_names_ids_and_nothing_else(
    careless: Program, alice: User, path: str, ids: Any
) -> None:
    trash(alice, "One")
    before = all_rows()
    answer = careless.post(path, {"ids": ids})
    assert_problem(answer, 422, "invalid")
    assert {field.split(".")[0] for _, field in answer.fields} == {"ids"}
    assert unnoted(all_rows()) == unnoted(before)


def test_id_that_is_not_accepted_is_named_by_its_place(api: Program) -> None:
    assert api.post("/trash/delete", {"ids": [1, 2, -3]}).fields == {("body", "ids.2")}


@pytest.mark.parametrize("body", [{}, {"ids": [1], "cleared_at": "2026-03-01T02:00:00Z"}])
def test_restore_takes_ids_or_a_moment(api: Program, body: Any) -> None:
    assert_problem(api.post("/trash/restore", body), 422, "invalid")


@pytest.mark.parametrize(
    "moment",
    [
        *(None, 0, "", "2026-03-01", "2026-03-01T02:00:00", "now", "2026-W01-1T00:00:00Z"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-03-01T25:00:00Z"),
    ],
)
def test_moment_needs_a_zone(careless: Program, moment: Any) -> None:
    answer = careless.post("/trash/restore", {"cleared_at": moment})
    assert_problem(answer, 422, "invalid")
    assert answer.fields == {("body", "cleared_at")}


@every_operation
def test_body_in_chunks_is_refused_and_not_taken_for_empty(
    api: Program, alice: User, operation: Operation
) -> None:
    path = operation.at(new_todo(alice).pk)
    answer = api.ask(operation.method, path, Transfer_Encoding="chunked")
    assert_problem(answer, 411, "length-required")


def test_document_and_its_page_are_only_read(careless: Program) -> None:
    for path in ("/openapi.json", "/docs"):
        for method in ("POST", "DELETE"):
            answer = careless.ask(method, path)
            assert_problem(answer, 405, "method-not-allowed")
            assert answer.headers["Allow"] == "GET, HEAD"


def test_number_with_very_many_digits_is_not_cut(careless: Program) -> None:
    assert_problem(careless.get("/todos?limit=00000000050"), 422, "invalid")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5_000, "limit"),
        ("completed=True", "completed"),
        ("completed=", "completed"),
        ("due=tomorrow", "due"),
        ("due=", "due"),
        ("due=2026-02-30", "due"),
        ("q=" + "a" * 201, "q"),
        ("cursor=" + "a" * 101, "cursor"),
    ],
)
def test_parameter_that_is_not_accepted_is_named(careless: Program, query: str, field: str) -> None:
    answer = careless.get(f"/todos?{query}")
    assert_problem(answer, 422, "invalid")
    assert answer.fields == {("query", field)}


@pytest.mark.parametrize(
    "cursor",
    ["x", "", "MQ%3D%3D", "MQ==", "LTE", "MDE", "OTIyMzM3MjAzNjg1NDc3NTgwOA", "%C3%A9", "+"],
)
def test_cursor_that_no_list_has_returned_is_refused(careless: Program, cursor: str) -> None:
    for path in ("/todos", "/trash", "/cleanup/next"):
        answer = careless.get(f"{path}?cursor={cursor}")
        assert_problem(answer, 422, "bad-cursor")
        assert answer.fields == {("query", "cursor")}


@every_operation
def test_parameter_that_is_not_known_or_there_twice_is_refused(
    api: Program, alice: User, operation: Operation
) -> None:
    todo = new_todo(alice)
    before = all_rows()
    path, body = operation.at(todo.pk), valid(operation, todo.pk)
    for query, fields in (
        ("limt=1", {"limt"}),
        ("a=&b=1", {"a", "b"}),
        ("todo_id=1", {"todo_id"}),
        ("given=1", {"given"}),
        # For the admin, these would be malformed.
        ("user=x&regex=1&_to_field=", {"user", "regex", "_to_field"}),
        ("title=a", {"title"}),
    ):
        answer = api.ask(operation.method, f"{path}?{query}", body)
        assert_problem(answer, 422, "unknown-parameter")
        assert answer.fields == {("query", name) for name in fields}
    assert unnoted(all_rows()) == unnoted(before)


def test_parameter_that_is_there_twice_is_refused(api: Program) -> None:
    answer = api.get("/todos?limit=1&limit=2")
    assert_problem(answer, 422)
    assert answer.fields == {("query", "limit")}


@pytest.mark.parametrize("path", ["/todos?q=%00", "/todos?%00=1", "/todos?q=a%00b", "/%00"])
def test_nul_in_an_address_is_malformed(api: Program, path: str) -> None:
    assert_problem(api.get(path), 400)


def test_site_of_https_takes_by_http_nothing_that_others_must_not_read_or_that_changes(
    api: Program, settings: Settings
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    for answer in (
        api.get("/todos"),
        api.post("/todos", {"title": "a"}),
        Program().post("/todos", {"title": "a"}),
    ):
        assert_problem(answer, 403, "https-required")
    # A browser's way to the page of the documentation.
    assert Program().get("/docs").headers["Location"] == f"https://testserver{BASE}/docs"
    assert not Todo.objects.exists()


def test_person_who_is_deleted_while_they_call_is_nobody(
    careless: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UserService, "lock", failing(User.DoesNotExist()))
    assert_problem(careless.patch("/preferences", {"theme": "dark"}), 401, "unauthorized")


def test_id_that_no_todo_has_is_not_found(api: Program) -> None:
    for pk in (0, 1, 2**63 - 1):
        assert_problem(api.get(f"/todos/{pk}"), 404, "not-found")


@pytest.mark.parametrize("key", ["", "a b", "é", "a\tb", "x" * 256])
def test_key_that_is_not_accepted_is_named(api: Program, key: str) -> None:
    answer = api.post("/todos", {"title": "a"}, Idempotency_Key=key)
    assert_problem(answer, 422, "invalid")
    assert answer.fields == {("header", "Idempotency-Key")}
    assert not Todo.objects.exists()


@pytest.mark.usefixtures("_standing_clock")
def test_each_token_has_a_limit_of_its_own(
    api: Program, reader: Program, bobs: Program, page: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.api.callers.REQUESTS_A_MINUTE", 3)
    for program in (api, reader, bobs, page):
        assert [program.get("/me").status for _ in range(3)] == [200] * 3
    for program in (api, page):
        for path in ("/me", "/todos", "/export"):
            answer = program.get(path)
            assert_problem(answer, 429, "too-many-requests")
            assert answer.headers["Retry-After"] == "20"
    assert_problem(Program().get("/me"), 401)
    monkeypatch.setattr("accounts.limits.time", lambda: FORTY_SECONDS + 20)
    assert api.get("/me").status == 200


@pytest.mark.usefixtures("_standing_clock")
def test_person_may_add_so_many_by_all_of_their_tokens(
    api: Program, alice: User, bobs: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("todos.limits.ADDS_A_MINUTE", 2)
    other = program_of(alice)
    assert api.post("/todos", {"title": "a"}).status == 201
    assert other.post("/todos", {"title": "a"}).status == 201
    for program in (api, other):
        answer = program.post("/todos", {"title": "a"})
        assert_problem(answer, 429)
        assert answer.headers["Retry-After"] == "20"
    assert bobs.post("/todos", {"title": "a"}).status == 201
    assert api.get("/todos").status == 200
    assert Todo.objects.filter(user=alice).count() == 2


@every_operation
def test_while_the_database_is_away_everybody_is_told_to_wait(
    careless: Program, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "shut_since", datetime.now(UTC))
    for language in ("en", "de"):
        answer = careless.ask(
            operation.method, operation.at(1), valid(operation, 1), Accept_Language=language
        )
        assert_problem(answer, 503)
        assert answer.headers["Retry-After"] == "5"
        assert "Tidy cannot reach its data" in answer.json["detail"]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_write_to_a_database_that_takes_none_is_answered_as_one_that_is_away(
    careless: Program, alice: User
) -> None:
    todo = new_todo(alice)
    careless.get("/me")
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        try:
            answer = careless.patch(f"/todos/{todo.pk}", {"title": "a"})
            assert careless.get(f"/todos/{todo.pk}").status == 200
        finally:
            cursor.execute("RESET default_transaction_read_only")
    assert_problem(answer, 503)
    assert "Retry-After" in answer.headers


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_who_waits_too_long_for_somebody_else_is_told_to_try_again(
    careless: Program, alice: User
) -> None:
    todo = new_todo(alice)
    path = f"/todos/{todo.pk}"
    etag = careless.get(path).etag
    with short_of_patience(), locked("todos_todo", todo.pk):
        for answer in (
            careless.patch(path, {"title": "a"}),
            careless.patch(path, {"title": "a"}, If_Match=etag),
            careless.post(f"{path}/reopen"),
            careless.delete(path),
            careless.post("/todos/clear-completed"),
        ):
            assert_problem(answer, 503)
            assert answer.headers["Retry-After"] == "30"
    assert careless.get(path).etag == etag


def test_row_that_has_come_at_the_same_moment_is_a_conflict(
    careless: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TodoService, "create", failing(IntegrityError("a secret")))
    answer = careless.post("/todos", {"title": "a"})
    assert_problem(answer, 409, "conflict")
    assert "secret" not in answer.content.decode()


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyError, RecursionError])
def test_mistake_says_nothing_of_how_it_came_about(
    careless: Program,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    *,
    debug: bool,
    error: type[Exception],
) -> None:
    settings.DEBUG = debug
    monkeypatch.setattr(TodoService, "create", failing(error("a secret")))
    answer = careless.post("/todos", {"title": "a"})
    assert_problem(answer, 500, "internal-server-error")
    told = answer.content.decode() + str(answer.headers)
    for word in ("secret", "Traceback", error.__name__, "site-packages", "todos/", site.SECRET_KEY):
        assert word not in told


@pytest.mark.parametrize("debug", [False, True])
def test_page_of_a_developer_is_not_shown_for_what_is_not_there(
    api: Program, settings: Settings, *, debug: bool
) -> None:
    settings.DEBUG = debug
    for path in ("/nothing", "/todos/1"):
        answer = api.get(path)
        assert_problem(answer, 404)
        assert "urlpatterns" not in answer.content.decode()


@every_operation
def test_nobody_keeps_an_answer(api: Program, alice: User, operation: Operation) -> None:
    pk = trash(alice, "a")[0] if "trash" in operation.path else new_todo(alice).pk
    answer = api.ask(operation.method, operation.at(pk), valid(operation, pk))
    assert answer.status in {200, 201, 204}, answer.content
    assert answer.headers["Cache-Control"] == "no-store"
    assert not answer.cookies


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_programs_are_answered_in_english_whatever_language_pages_have(
    api: Program, page: Program, alice: User, method: str
) -> None:
    User.objects.filter(pk=alice.pk).update(language="de")
    path, body = f"/todos/{new_todo(alice).pk}", {"title": "a", "due_on": "1000-01-01"}
    expected = api.ask(method, path, body if method == "PATCH" else None)
    page.client.get("/")
    token = page.client.cookies["csrftoken"].value
    for program, headers in (
        (api, {}),
        (api, {"Accept_Language": "de"}),
        (page, {"Accept_Language": "de", "X_CSRFToken": token}),
    ):
        answer = program.ask(method, path, body if method == "PATCH" else None, **headers)
        assert answer.content == expected.content
        assert answer.headers["Content-Language"] == "en"
