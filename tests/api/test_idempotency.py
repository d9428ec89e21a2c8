"""A request that is sent twice, as its answer was lost, creates one todo."""

from datetime import timedelta

import pytest

from accounts.models import User
from tests.api.clients import Program, assert_problem, program_of
from todos.models import IdempotencyKey, Todo
from todos.services import TodoService


def test_request_that_is_sent_twice_creates_one_todo(api: Program, alice: User) -> None:
    body = {"title": "Milk", "due_on": "2026-12-01"}
    first = api.post("/todos", body, Idempotency_Key="key")
    again = api.post("/todos", {**body, "description": ""}, Idempotency_Key="key")
    assert (first.status, again.status) == (201, 201)
    assert first.headers["Idempotency-Replayed"] == "false"
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json == first.json
    assert again.etag == first.etag
    assert again.headers["Location"] == first.headers["Location"]
    assert Todo.objects.count() == 1
    # By another token of the same person, too; and as it is by now.
    api.post(f"/todos/{first.json['id']}/complete")
    other = program_of(alice).post("/todos", body, Idempotency_Key="key")
    assert other.json["id"] == first.json["id"]
    assert other.json["completed_at"] is not None


def test_request_without_a_key_creates_a_todo_each_time(api: Program) -> None:
    answers = [api.post("/todos", {"title": "Milk"}) for _ in range(2)]
    assert all("Idempotency-Replayed" not in answer.headers for answer in answers)
    assert Todo.objects.count() == 2


def test_request_that_has_filled_the_list_can_be_repeated(
    api: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("todos.services.MAX_TODOS", 1)
    first = api.post("/todos", {"title": "Milk"}, Idempotency_Key="key")
    again = api.post("/todos", {"title": "Milk"}, Idempotency_Key="key")
    assert again.status == 201
    assert again.json == first.json


def test_key_of_another_request_is_refused(api: Program) -> None:
    assert api.post("/todos", {"title": "Milk"}, Idempotency_Key="key").status == 201
    for other in ({"title": "Tea"}, {"title": "Milk", "description": "Oat"}):
        answer = api.post("/todos", other, Idempotency_Key="key")
        assert_problem(answer, 422, "key-reused")
    assert api.post("/todos", {"title": "Milk"}, Idempotency_Key="KEY").status == 201
    assert Todo.objects.count() == 2


def test_key_of_another_person_is_another_key(api: Program, bobs: Program) -> None:
    mine = api.post("/todos", {"title": "Milk"}, Idempotency_Key="key")
    theirs = bobs.post("/todos", {"title": "Milk"}, Idempotency_Key="key")
    assert theirs.headers["Idempotency-Replayed"] == "false"
    assert mine.json["id"] != theirs.json["id"]


def test_todo_that_has_left_is_gone_and_is_not_created_again(api: Program) -> None:
    first = api.post("/todos", {"title": "Milk"}, Idempotency_Key="key")
    api.delete(f"/todos/{first.json['id']}")
    assert_problem(api.post("/todos", {"title": "Milk"}, Idempotency_Key="key"), 410, "gone")
    assert not Todo.objects.exists()
    api.post(f"/trash/{first.json['id']}/restore")
    assert api.post("/todos", {"title": "Milk"}, Idempotency_Key="key").status == 201
    assert Todo.objects.count() == 1


def test_request_that_was_refused_leaves_its_key_free(api: Program) -> None:
    assert_problem(api.post("/todos", {"title": ""}, Idempotency_Key="key"), 422)
    created = api.post("/todos", {"title": "Milk"}, Idempotency_Key="key")
    assert created.headers["Idempotency-Replayed"] == "false"


def test_keys_are_kept_for_a_day(api: Program) -> None:
    api.post("/todos", {"title": "Milk"}, Idempotency_Key="key")
    kept = IdempotencyKey.objects.get().created_at
    day, bit = timedelta(days=1), timedelta(milliseconds=1)
    assert TodoService.prune_requests(as_of=kept + day - bit) == 0
    again = api.post("/todos", {"title": "Milk"}, Idempotency_Key="key")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert TodoService.prune_requests(as_of=kept + day + bit) == 1
    anew = api.post("/todos", {"title": "Milk"}, Idempotency_Key="key")
    assert anew.headers["Idempotency-Replayed"] == "false"
    assert Todo.objects.count() == 2
