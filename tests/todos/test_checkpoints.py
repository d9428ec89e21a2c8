"""Checkpoints are stored under the same names by the version before, this one and the next."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from tests.todos.checkpoints import JsonStore
from todos.bounds import MAX_ID
from todos.bulk.checkpoint import Checkpoint, HeldRange, OwnerError
from todos.bulk.keys import ID, Key, MomentKey, Position
from todos.models import Todo
from todos.services import TodoService

TRASHED_AT = MomentKey("trashed_at")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

#: What the version before stored of a sweep and of a purge in the middle of their ways.
SWEEP: dict[str, Any] = {
    "as_of": "2026-03-01T12:00:00+00:00",
    "keep_days": 0,
    "users_processed": 4,
    "first": 3,
    "last": 90,
    "cursor": 41,
    "done": 0.4368,
    "rows": 17,
    "errors": [
        {"user_id": 7, "reason": "RaiseException (P0001)", "todo_ids": [5]},
        {"user_id": 8, "reason": "locked by another transaction"},
    ],
    "failed": [8],
    "left_rows": [[7, 5]],
    "held": [
        {"after": None, "through": 9, "user_id": None, "tries": 0},
        {"after": 12, "through": 90, "user_id": 9, "tries": 2},
    ],
    "locked": [8],
    "timeouts": 2,
}
PURGE: dict[str, Any] = {
    "as_of": "2026-03-01T12:00:00+00:00",
    "days": None,
    "trash_days": 30,
    "first": "2026-01-01T00:00:00+00:00",
    "last": "2026-01-31T00:00:00.000001+00:00",
    "cursor": "2026-01-10T00:00:00+00:00",
    "cursor_id": 5,
    "done": 0.3,
    "rows": 17,
    "errors": [],
    "failed": [],
    "left_rows": [],
    "held": [
        {
            "after": ["2026-01-01T00:00:00+00:00", 3],
            "through": ["2026-01-02T00:00:00+00:00", MAX_ID],
            "user_id": None,
            "tries": 0,
        }
    ],
    "locked": [],
    "timeouts": 0,
}


@pytest.mark.parametrize(("stored", "key"), [(SWEEP, ID), (PURGE, TRASHED_AT)])
def test_checkpoint_is_stored_as_it_was_read(stored: dict[str, Any], key: Key[Any]) -> None:
    terms = {"as_of", "keep_days", "users_processed", "days", "trash_days"}
    names = [name for name in stored if name not in terms]
    assert Checkpoint.from_json(stored, key).to_json(key) == {name: stored[name] for name in names}


def test_what_an_earlier_version_did_not_store_is_as_at_the_beginning() -> None:
    stored = {"first": 3, "last": 90, "cursor": 41, "done": 0.4, "rows": 7, "errors": []}
    assert Checkpoint.from_json(stored, ID) == Checkpoint(
        first=3, last=90, cursor=41, done=0.4, rows=7
    )


def test_moment_without_an_id_means_all_rows_that_share_it() -> None:
    stored = {"first": NOON.isoformat(), "last": NOON.isoformat(), "cursor": NOON.isoformat()}
    assert Checkpoint.from_json(stored, TRASHED_AT) == Checkpoint(
        first=Position(NOON, 0), last=Position(NOON, MAX_ID), cursor=Position(NOON, MAX_ID)
    )


ids = st.integers(1, MAX_ID)
positions = st.builds(
    Position, st.integers(0, 10**15).map(lambda us: NOON + timedelta(microseconds=us)), ids
)
errors = st.builds(
    lambda user_id, ids: OwnerError(user_id=user_id, reason="x", todo_ids=ids), ids, st.lists(ids)
)


def checkpoints[K](keys: st.SearchStrategy[K]) -> st.SearchStrategy[Checkpoint[K]]:
    held = st.builds(
        HeldRange[K],
        after=st.none() | keys,
        through=keys,
        user_id=st.none() | ids,
        tries=st.integers(0, 3),
    )
    return st.builds(
        Checkpoint[K],
        cursor=st.none() | keys,
        done=st.floats(0, 1),
        rows=ids,
        errors=st.lists(errors).map(tuple),
        failed=st.lists(ids).map(tuple),
        left_rows=st.lists(st.tuples(ids, ids)).map(tuple),
        held=st.lists(held).map(tuple),
        locked=st.lists(ids).map(tuple),
        timeouts=st.integers(0, 9),
    )


@given(by_id=checkpoints(ids), by_moment=checkpoints(positions))
def test_any_checkpoint_comes_back_from_json_as_it_was(
    by_id: Checkpoint[int], by_moment: Checkpoint[Position]
) -> None:
    assert Checkpoint.from_json(json.loads(json.dumps(by_id.to_json(ID))), ID) == by_id
    stored = json.loads(json.dumps(by_moment.to_json(TRASHED_AT)))
    assert Checkpoint.from_json(stored, TRASHED_AT) == by_moment


def test_sweep_that_another_version_began_keeps_what_this_one_does_not_know(alice: User) -> None:
    todos = [Todo.objects.create(user=alice, title="Done", completed_at=NOON) for _ in range(3)]
    store = JsonStore()
    store.stored = {
        "keep_days": 0,
        "users_processed": 9,
        "first": todos[0].pk,
        "last": todos[2].pk,
        "cursor": todos[0].pk,
        "done": 0.0,
        "rows": 1,
        "errors": [],
        "failed": [],
        "of_the_next_version": [1, 2],
    }

    report = TodoService.sweep(as_of=NOON + timedelta(days=1), store=store)

    assert report == {"users_processed": 9, "todos_deleted": 3, "errors": []}
    assert [todo.pk for todo in Todo.objects.all()] == [todos[0].pk]
    assert store.stored["of_the_next_version"] == [1, 2]
    assert (store.stored["cursor"], store.stored["rows"]) == (todos[2].pk, 3)
