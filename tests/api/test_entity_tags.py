"""Nobody's change is lost: what is sent as If-Match has to be how it is."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from project.api.document import document, operations
from tests.api.clients import Answer, Program, assert_problem
from tests.api.operations import all_operations
from tests.factories import new_todo


def test_tag_changes_exactly_when_something_changes(api: Program, alice: User) -> None:
    todo = new_todo(alice, title="Milk", completed_at=None)
    path = f"/todos/{todo.pk}"
    first = api.get(path).etag

    def tag_after(answer: Answer) -> str:
        assert answer.status == 200
        assert answer.etag == api.get(path).etag
        return answer.etag

    assert tag_after(api.patch(path, {})) == first
    assert tag_after(api.patch(path, {"title": " Milk "})) == first
    assert tag_after(api.post(f"{path}/reopen")) == first
    seen = {first}
    for method, where, body in (
        ("PATCH", path, {"title": "Tea"}),
        ("PATCH", path, {"description": "Tea"}),
        ("PATCH", path, {"due_on": "2026-12-01"}),
        ("POST", f"{path}/complete", None),
    ):
        tag = tag_after(api.ask(method, where, body))
        assert tag not in seen
        assert tag_after(api.ask(method, where, body)) == tag
        seen.add(tag)
    api.delete(path)
    assert tag_after(api.post(f"/trash/{todo.pk}/restore")) not in seen


def test_created_todo_has_the_tag_that_it_has_later(api: Program) -> None:
    created = api.post("/todos", {"title": "Milk"})
    assert created.etag == api.get(f"/todos/{created.json['id']}").etag
    other = api.post("/todos", {"title": "Tea"})
    assert other.etag != created.etag


def test_tag_of_preferences_changes_with_them_alone(api: Program, alice: User) -> None:
    first = api.get("/preferences").etag
    new_todo(alice)
    User.objects.filter(pk=alice.pk).update(last_login=timezone.now())
    assert api.patch("/preferences", {}).etag == api.get("/preferences").etag == first
    changed = api.patch("/preferences", {"theme": "dark"})
    assert changed.etag == api.get("/preferences").etag != first
    assert api.patch("/preferences", {"theme": "auto"}).etag == first


def changes(pk: int) -> Iterator[tuple[str, str, Any]]:
    """Yield each way to change a todo that takes If-Match."""
    yield "PATCH", f"/todos/{pk}", {"title": "Changed"}
    yield "POST", f"/todos/{pk}/complete", None
    yield "POST", f"/todos/{pk}/reopen", None
    yield "DELETE", f"/todos/{pk}", None


def test_every_operation_that_takes_a_tag_is_tried() -> None:
    made = document()
    taken = {
        operation["operationId"]
        for _, _, operation in operations(made)
        if any(parameter["name"] == "If-Match" for parameter in operation["parameters"])
    }
    tried = {
        one.name
        for one in all_operations()
        if (one.method, one.at(1)) in {(method, path) for method, path, _ in changes(1)}
    }
    assert taken == {*tried, "changePreferences"}


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(
    "form",
    [
        "{tag}",
        "*",
        " * ",
        '"0000000000000000", {tag}',
        '{tag},"0"',
        '"", {tag}, W/"x"',
        "W/{tag}",  # As it becomes where an answer is compressed.
        'W/"0", W/{tag}',
    ],
)
def test_todo_is_changed_by_whoever_has_seen_it_as_it_is(
    api: Program, alice: User, number: int, form: str
) -> None:
    todo = new_todo(alice, completed_at=None if number == 1 else timezone.now())
    tag = api.get(f"/todos/{todo.pk}").etag
    method, path, body = list(changes(todo.pk))[number]
    answer = api.ask(method, path, body, If_Match=form.format(tag=tag))
    assert answer.status == (204 if method == "DELETE" else 200)
    assert api.get(f"/todos/{todo.pk}").headers.get("ETag") != tag


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(
    ("form", "refusal"),
    [
        *((tags, (412, "changed")) for tags in ('"0000000000000000"', 'W/"0"', '"0", "1"', '"*"')),
        *((none, (422, "bad-if-match")) for none in ("", "nonsense", "0000000000000000", "é")),
    ],
)
def test_todo_is_not_changed_by_whoever_has_seen_another(
    api: Program, alice: User, number: int, form: str, refusal: tuple[int, str]
) -> None:
    todo = new_todo(alice, completed_at=None if number == 1 else timezone.now())
    before = api.get(f"/todos/{todo.pk}")
    method, path, body = list(changes(todo.pk))[number]
    answer = api.ask(method, path, body, If_Match=form)
    assert_problem(answer, *refusal)
    assert answer.headers.get("ETag") == (before.etag if refusal[0] == 412 else None)
    assert api.get(f"/todos/{todo.pk}").json == before.json


@pytest.mark.parametrize("number", range(4))
def test_todo_that_is_not_there_is_not_found_whatever_is_expected(
    api: Program, number: int
) -> None:
    method, path, body = list(changes(1))[number]
    for form in ("*", '"0"'):
        assert_problem(api.ask(method, path, body, If_Match=form), 404)


def test_tag_of_a_compressed_answer_is_accepted(api: Program, alice: User) -> None:
    """As browsers and most libraries ask for one, without being told to."""
    todo = new_todo(alice, description="word " * 200)
    seen = api.get(f"/todos/{todo.pk}", Accept_Encoding="gzip")
    assert seen.headers["Content-Encoding"] == "gzip"
    changed = api.patch(f"/todos/{todo.pk}", {"title": "a"}, If_Match=seen.etag)
    assert changed.status == 200


def test_field_that_is_not_accepted_is_named_although_the_tag_is_right(
    api: Program, alice: User
) -> None:
    path = f"/todos/{new_todo(alice).pk}"
    seen = api.get(path)
    refused = api.patch(path, {"title": "a", "due_on": "1000-01-01"}, If_Match=seen.etag)
    assert_problem(refused, 422, "invalid")
    assert refused.fields == {("body", "due_on")}
    assert api.get(path).etag == seen.etag


def test_preferences_are_changed_by_whoever_has_seen_them(api: Program) -> None:
    tag = api.get("/preferences").etag
    refused = api.patch("/preferences", {"theme": "dark"}, If_Match='"0"')
    assert_problem(refused, 412, "changed")
    assert refused.etag == tag, "to go on from"
    assert api.get("/preferences").etag == tag
    for form in (tag, "*", f'"0", W/{tag}'):
        changed = api.patch("/preferences", {"theme": "dark"}, If_Match=form)
        assert (changed.status, changed.json["theme"]) == (200, "dark")
        assert api.patch("/preferences", {"theme": "auto"}).etag == tag
