"""Each operation does what the document says, as a program sees it."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.models import Token, User
from tests.api.clients import Program, assert_problem, ids_of, program_of
from tests.examples import examples
from tests.factories import AS_OF, LONG_AGO, new_todo, new_todos, new_token, new_trash, trash
from todos.models import Todo, TrashedTodo
from todos.services import TodoService

DAY = timedelta(days=1)

#: In Auckland it is one o'clock in the night to 2 March; in Honolulu, two in the afternoon before.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUCKLAND, HONOLULU = "Pacific/Auckland", "Pacific/Honolulu"

#: The cleanup after that moment.
DUE = datetime(2026, 3, 2, 2, tzinfo=UTC)


def at_two(after: datetime) -> datetime:
    """A cleanup daily at 02:00 UTC."""
    slot = after.astimezone(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    return slot if slot > after else slot + DAY


def paused(_: datetime) -> None:
    return None


@pytest.fixture(autouse=True)
def _at_two(settings: Settings) -> None:
    settings.TODO_NEXT_CLEANUP = f"{__name__}.at_two"


def lives_in(user: User, zone: str) -> None:
    User.objects.filter(pk=user.pk).update(time_zone=zone)


def everything(api: Program, path: str, *, limit: int) -> list[int]:
    """Return the ids on all pages of a list."""
    found: list[int] = []
    cursor = ""
    while True:
        mark = "&" if "?" in path else "?"
        answer = api.get(f"{path}{mark}limit={limit}{cursor}")
        page = ids_of(answer)
        assert len(page) <= limit
        found += page
        if answer.json["next_cursor"] is None:
            return found
        assert len(page) == limit
        cursor = f"&cursor={answer.json['next_cursor']}"


# The list


def test_todo_that_is_created_is_on_the_list_as_it_was_sent(api: Program, alice: User) -> None:
    sent = {"title": "  Buy   milk ", "description": "Two\nlitres", "due_on": "2026-12-01"}
    created = api.post("/todos", sent)
    assert created.status == 201
    todo = Todo.objects.get(user=alice)
    assert created.headers["Location"] == f"/api/v1/todos/{todo.pk}"
    assert created.json == {
        "id": todo.pk,
        "title": "Buy milk",
        "description": "Two\nlitres",
        "due_on": "2026-12-01",
        "created_at": created.json["created_at"],
        "completed_at": None,
        "restored_at": None,
        "leaves_at": None,
        "etag": created.etag,
    }
    assert datetime.fromisoformat(created.json["created_at"]) == todo.created_at
    assert (
        api.client.get(
            created.headers["Location"], headers={"Authorization": f"Bearer {api.secret}"}
        ).json()
        == created.json
    )
    assert api.get("/todos").json == {"items": [created.json], "next_cursor": None}


def test_title_is_enough(api: Program) -> None:
    created = api.post("/todos", {"title": "Milk"}).json
    assert (created["description"], created["due_on"]) == ("", None)
    assert api.post("/todos", {"title": "Milk", "due_on": None}).status == 201


def test_list_is_read_page_by_page_with_the_newest_first(api: Program, alice: User) -> None:
    todos = new_todos(alice, each=7)
    newest_first = [todo.pk for todo in reversed(todos)]
    for limit in (1, 2, 3, 7, 8):
        assert everything(api, "/todos", limit=limit) == newest_first
    assert ids_of(api.get("/todos")) == newest_first
    assert api.get("/todos").json["next_cursor"] is None


def test_page_has_50_todos_unless_told_otherwise_and_100_at_most(api: Program, alice: User) -> None:
    new_todos(alice, each=101)
    assert len(ids_of(api.get("/todos"))) == 50
    assert len(ids_of(api.get("/todos?limit=100"))) == 100
    assert_problem(api.get("/todos?limit=101"), 422)


def test_completed_and_open_todos_can_be_told_apart(api: Program, alice: User) -> None:
    done, open_ = new_todo(alice), new_todo(alice, completed_at=None)
    assert ids_of(api.get("/todos?completed=true")) == [done.pk]
    assert ids_of(api.get("/todos?completed=false")) == [open_.pk]
    assert_problem(api.get("/todos?completed=1"), 422)


@pytest.mark.parametrize(
    ("zone", "today"), [(AUCKLAND, date(2026, 3, 2)), (HONOLULU, date(2026, 3, 1))]
)
def test_what_is_due_is_told_by_the_persons_own_day(
    api: Program, alice: User, zone: str, today: date
) -> None:
    lives_in(alice, zone)
    days = {today + n * DAY: new_todo(alice, due_on=today + n * DAY).pk for n in (-2, -1, 0, 1, 2)}
    never = new_todo(alice).pk
    with time_machine.travel(NOON, tick=False):
        assert ids_of(api.get("/todos?due=today")) == [days[today]]
        assert set(ids_of(api.get("/todos?due=overdue"))) == {
            pk for day, pk in days.items() if day < today
        }
        assert set(ids_of(api.get("/todos?due=later"))) == {
            pk for day, pk in days.items() if day > today
        }
        assert ids_of(api.get("/todos?due=never")) == [never]
        for day, pk in days.items():
            assert ids_of(api.get(f"/todos?due={day.isoformat()}")) == [pk]


def test_each_word_is_looked_for_in_title_and_description(api: Program, alice: User) -> None:
    both = new_todo(alice, title="Buy oat milk", description="At the market").pk
    new_todo(alice, title="Sell milk")
    assert ids_of(api.get("/todos?q=MARKET+milk")) == [both]
    assert ids_of(api.get("/todos?q=100%25")) == []
    assert len(ids_of(api.get("/todos?q=milk"))) == 2
    assert len(ids_of(api.get("/todos?q="))) == 2


def test_filters_hold_together_and_from_page_to_page(api: Program, alice: User) -> None:
    day = date(2026, 3, 1)
    wanted = []
    for _ in range(5):
        wanted.append(new_todo(alice, title="Milk", completed_at=None, due_on=day).pk)
        new_todo(alice, title="Milk", completed_at=None)
        new_todo(alice, title="Milk", due_on=day)
        new_todo(alice, title="Tea", completed_at=None, due_on=day)
    query = "completed=false&due=2026-03-01&q=milk"
    assert everything(api, f"/todos?{query}", limit=2) == wanted[::-1]


def test_only_what_is_given_is_changed(api: Program, alice: User) -> None:
    todo = new_todo(alice, title="Milk", description="Oat", due_on=date(2026, 3, 1))
    path = f"/todos/{todo.pk}"
    assert api.patch(path, {"title": "Tea"}).json["title"] == "Tea"
    changed = api.patch(path, {"due_on": None}).json
    assert (changed["title"], changed["description"], changed["due_on"]) == ("Tea", "Oat", None)
    assert api.patch(path, {}).json == changed == api.get(path).json
    assert changed["completed_at"] is not None


def test_todo_is_completed_and_reopened_and_keeps_its_first_time(api: Program, alice: User) -> None:
    todo = new_todo(alice, completed_at=None)
    path = f"/todos/{todo.pk}"
    completed = api.post(f"{path}/complete")
    at = datetime.fromisoformat(completed.json["completed_at"])
    assert abs(at - timezone.now()) < timedelta(minutes=1)
    assert api.post(f"{path}/complete").json == completed.json
    assert api.post(f"{path}/reopen").json["completed_at"] is None
    assert api.post(f"{path}/reopen").json["completed_at"] is None


def test_todo_says_when_it_leaves(api: Program, alice: User, settings: Settings) -> None:
    todo = new_todo(alice)
    path = f"/todos/{todo.pk}"
    with time_machine.travel(NOON, tick=False):
        assert leaves_at(api.get(path).json) == DUE
    assert api.patch("/preferences", {"auto_cleanup": False}).status == 200
    assert api.get(path).json["leaves_at"] is None
    assert api.patch("/preferences", {"auto_cleanup": True}).status == 200
    settings.TODO_NEXT_CLEANUP = f"{__name__}.paused"
    assert api.get(path).json["leaves_at"] is None


def test_todo_that_is_deleted_is_in_the_trash(api: Program, alice: User) -> None:
    todo = new_todo(alice, title="Milk", description="Oat", due_on=date(2026, 3, 1))
    path = f"/todos/{todo.pk}"
    before = api.get(path).json
    deleted = api.delete(path)
    assert (deleted.status, deleted.content) == (204, b"")
    assert_problem(api.get(path), 404)
    assert_problem(api.delete(path), 404)
    trashed = api.get(f"/trash/{todo.pk}").json
    assert {name: before[name] for name in before if name in trashed} == {
        name: trashed[name] for name in trashed if name in before
    }
    assert trashed["run_id"] is None
    kept = datetime.fromisoformat(trashed["kept_until"])
    assert kept == datetime.fromisoformat(trashed["trashed_at"]) + 30 * DAY
    assert api.get("/trash").json == {"items": [trashed], "next_cursor": None}


def test_what_is_cleared_comes_back_by_its_moment_and_nothing_else_does(
    api: Program, alice: User
) -> None:
    trash(alice, "Deleted before")
    open_ = new_todo(alice, completed_at=None)
    done = [todo.pk for todo in new_todos(alice, each=3)]
    cleared = api.post("/todos/clear-completed").json
    assert cleared["todos_cleared"] == 3
    trash(alice, "Deleted after")
    assert ids_of(api.get("/todos")) == [open_.pk]

    undo = {"cleared_at": cleared["cleared_at"]}
    assert api.post("/trash/restore", undo).json == {
        "todos_restored": 3,
        "todos_left": 0,
        "reasons": [],
    }
    assert set(ids_of(api.get("/todos"))) == {open_.pk, *done}
    assert len(ids_of(api.get("/trash"))) == 2
    assert api.post("/trash/restore", undo).json["todos_restored"] == 0


def test_clearing_an_empty_list_clears_nothing(api: Program) -> None:
    assert api.post("/todos/clear-completed").json["todos_cleared"] == 0


# The trash


def test_trash_is_read_page_by_page(api: Program, alice: User) -> None:
    new_trash(alice, each=7, trashed_at=AS_OF)
    pks = sorted(TrashedTodo.objects.values_list("pk", flat=True), reverse=True)
    for limit in (1, 3, 7, 100):
        assert everything(api, "/trash", limit=limit) == pks


def test_todo_is_restored_as_it_was(api: Program, alice: User) -> None:
    todo = new_todo(alice, title="Milk", due_on=date(2026, 3, 1))
    before = api.get(f"/todos/{todo.pk}").json
    api.delete(f"/todos/{todo.pk}")
    restored = api.post(f"/trash/{todo.pk}/restore")
    assert restored.status == 200
    assert restored.json["restored_at"] is not None
    new = {"restored_at": None, "leaves_at": None, "etag": ""}
    assert {**restored.json, **new} == {**before, **new}
    assert restored.etag == api.get(f"/todos/{todo.pk}").etag
    assert_problem(api.post(f"/trash/{todo.pk}/restore"), 404)


def test_selection_is_restored_however_often_an_id_is_there(api: Program, alice: User) -> None:
    one, two, three = trash(alice, "One", "Two", "Three")
    listed = new_todo(alice).pk
    restored = api.post("/trash/restore", {"ids": [one, two, one, listed, 10**15]})
    assert restored.json == {"todos_restored": 2, "todos_left": 0, "reasons": []}
    assert ids_of(api.get("/trash")) == [three]


@pytest.mark.parametrize(
    ("zone", "evening"),
    [
        # Yesterday at 18:00, where they are.
        (AUCKLAND, datetime(2026, 3, 1, 18, tzinfo=ZoneInfo(AUCKLAND))),
        (HONOLULU, datetime(2026, 2, 28, 18, tzinfo=ZoneInfo(HONOLULU))),
    ],
)
def test_last_night_is_restored_as_it_is_where_the_person_lives(
    api: Program, alice: User, zone: str, evening: datetime
) -> None:
    lives_in(alice, zone)
    moment = timedelta(seconds=1)
    (early,) = trash(alice, "Early", run_id=1, trashed_at=evening)
    (night,) = trash(alice, "Night", run_id=2, trashed_at=evening + moment)
    (deleted,) = trash(alice, "Deleted", trashed_at=evening + moment)
    with time_machine.travel(NOON, tick=False):
        assert api.post("/trash/restore-last-night").json["todos_restored"] == 1
    assert ids_of(api.get("/todos")) == [night]
    assert set(ids_of(api.get("/trash"))) == {early, deleted}


def test_todo_is_deleted_for_good(api: Program, alice: User) -> None:
    (gone, kept) = trash(alice, "Gone", "Kept")
    assert api.delete(f"/trash/{gone}").status == 204
    for method, path in (
        ("GET", f"/trash/{gone}"),
        ("DELETE", f"/trash/{gone}"),
        ("POST", f"/trash/{gone}/restore"),
    ):
        assert_problem(api.ask(method, path), 404)
    assert ids_of(api.get("/trash")) == [kept]


def test_selection_is_deleted_for_good(api: Program, alice: User) -> None:
    one, two, three = trash(alice, "One", "Two", "Three")
    listed = new_todo(alice).pk
    assert api.post("/trash/delete", {"ids": [one, two, one, listed]}).json == {"todos_purged": 2}
    assert ids_of(api.get("/trash")) == [three]
    assert ids_of(api.get("/todos")) == [listed]


def test_site_without_a_trash_deletes_for_good(
    api: Program, alice: User, settings: Settings
) -> None:
    settings.TODO_TRASH_DAYS = 0
    one, *_ = new_todos(alice, each=3)
    assert api.delete(f"/todos/{one.pk}").status == 204
    assert ids_of(api.get("/trash")) == []
    assert_problem(api.post(f"/trash/{one.pk}/restore"), 404)
    cleared = api.post("/todos/clear-completed").json
    assert cleared["todos_cleared"] == 2
    undo = {"cleared_at": cleared["cleared_at"]}
    assert api.post("/trash/restore", undo).json["todos_restored"] == 0
    assert ids_of(api.get("/todos")) == ids_of(api.get("/trash")) == []
    # What came there while there was one can still be restored until the day that was promised.
    new_trash(alice, each=1, trashed_at=AS_OF, trash_days=30)
    kept = api.get("/trash").json["items"][0]["kept_until"]
    assert datetime.fromisoformat(kept) == AS_OF + 30 * DAY


# The next cleanup


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=examples(60),
    deadline=None,
    # The fixtures are the database and a setting; each example begins with an empty list.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    site_days=st.sampled_from([0, 1, 30]),
    keep_days=st.none() | st.sampled_from([0, 1, 7, 30]),
    takes_part=st.booleans(),
    todos=st.lists(
        st.tuples(
            st.none() | st.sampled_from([0, 1, 7, 30, 90]),
            st.none() | st.sampled_from([0, 1, 7, 8, 30]),
            st.sampled_from([-1, 0, 1]),
        ),
        max_size=8,
    ),
)
def test_next_cleanup_takes_what_the_preview_says(
    settings: Settings,
    site_days: int,
    keep_days: int | None,
    takes_part: bool,  # noqa: FBT001  (hypothesis gives it by name)
    todos: list[tuple[int | None, int | None, int]],
) -> None:
    settings.TODO_KEEP_COMPLETED_DAYS = site_days
    User.objects.all().delete()
    user = User.objects.create(
        username="alice", keep_completed_days=keep_days, auto_cleanup=takes_part
    )
    api = program_of(user)
    bit = timedelta(microseconds=1)
    for done, restored, bits in todos:
        moments = [
            None if days is None else DUE - days * DAY + bits * bit for days in (done, restored)
        ]
        new_todo(user, completed_at=moments[0], restored_at=moments[1])
    new_todo(User.objects.create(username="bob"))

    with time_machine.travel(NOON, tick=False):
        preview = api.get("/cleanup/next").json
        shown = everything(api, "/cleanup/next", limit=2)
        leaves = [item["id"] for item in api.get("/todos").json["items"] if leaves_at(item) == DUE]
    assert datetime.fromisoformat(preview["due_at"]) == DUE
    assert preview["takes_part"] == takes_part
    assert preview["count"] == len(shown)
    assert shown == leaves

    TodoService.sweep(as_of=DUE)
    taken = TrashedTodo.objects.filter(user=user).order_by("-pk").values_list("pk", flat=True)
    assert list(taken) == shown


def leaves_at(item: dict[str, Any]) -> datetime | None:
    return item["leaves_at"] and datetime.fromisoformat(item["leaves_at"])


def test_cleanup_that_is_paused_takes_nothing(
    api: Program, alice: User, settings: Settings
) -> None:
    new_todo(alice)
    settings.TODO_NEXT_CLEANUP = f"{__name__}.paused"
    preview = api.get("/cleanup/next").json
    assert (preview["due_at"], preview["takes_part"]) == (None, True)
    assert (preview["count"], preview["items"], preview["next_cursor"]) == (0, [], None)


# You


def test_program_learns_who_it_works_for_and_by_which_token(api: Program, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(first_name="Alice", email="alice@example.com")
    me = api.get("/me").json
    assert (me["username"], me["first_name"], me["email"]) == (
        *("alice", "Alice", "alice@example.com"),
    )
    assert me["token"]["name"] == Token.objects.get(user=alice).name
    assert me["token"]["access"] == "write"
    assert api.secret[5:13] not in json.dumps(me)


def test_browser_learns_that_it_has_no_token(page: Program) -> None:
    assert page.get("/me").json["token"] is None


def test_preferences_change_one_by_one(api: Program, alice: User) -> None:
    before = api.get("/preferences").json
    assert before["keep_completed_days"] is None
    changes: dict[str, Any] = {
        "auto_cleanup": False,
        "keep_completed_days": 7,
        "time_zone": "Europe/Berlin",
        "language": "de",
        "theme": "dark",
        "shortcuts": not before["shortcuts"],
    }
    for name, value in changes.items():
        after = api.patch("/preferences", {name: value})
        assert after.status == 200, after.content
        assert after.json == api.get("/preferences").json == {**before, name: value}
        before = after.json
    assert api.patch("/preferences", {"keep_completed_days": None}).status == 200
    assert api.patch("/preferences", {"time_zone": ""}).status == 200
    alice.refresh_from_db()
    assert (alice.keep_completed_days, alice.time_zone, alice.theme) == (None, "", "dark")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_zone", "Mars/Base"),
        ("time_zone", 3),
        ("keep_completed_days", -1),
        ("keep_completed_days", 1.5),
        ("keep_completed_days", True),
        ("auto_cleanup", "true"),
        ("auto_cleanup", None),
        ("language", "xx"),
        ("theme", ""),
    ],
)
def test_preference_that_there_is_not_is_refused_and_named(
    api: Program, alice: User, name: str, value: Any
) -> None:
    before = api.get("/preferences").json
    refused = api.patch("/preferences", {"shortcuts": not before["shortcuts"], name: value})
    assert_problem(refused, 422, "invalid")
    assert refused.fields == {("body", name)}
    assert api.get("/preferences").json == before


def test_program_revokes_its_own_token_and_no_other(api: Program, alice: User) -> None:
    other = Program(new_token(alice))
    assert api.delete("/me/token").status == 204
    assert_problem(api.get("/me"), 401)
    assert_problem(api.delete("/me/token"), 401)
    assert other.get("/me").status == 200


def test_export_is_that_of_the_page(api: Program, page: Program, alice: User) -> None:
    new_todo(alice, title="=1+1", description="Straße\n")
    trash(alice, "Gone")
    api.get("/me")  # Notes when the token was used.
    alike("json", page, api)
    alike("csv", page, api)


def alike(suffix: str, page: Program, api: Program) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        expected = page.client.get(f"/export.{suffix}")
        content = expected.getvalue()
        exported = api.get("/export" if suffix == "json" else "/export.csv")
    assert exported.status == 200
    assert exported.content == content
    for name in ("Content-Type", "Content-Disposition"):
        assert exported.headers[name] == expected.headers[name]


def test_head_is_answered_as_get_is(api: Program, alice: User) -> None:
    todo = new_todo(alice, completed_at=None)
    for path in ("/todos", f"/todos/{todo.pk}", "/trash", "/me", "/preferences", "/cleanup/next"):
        got, head = api.get(path), api.ask("HEAD", path)
        assert (head.status, head.content) == (200, b"")
        assert head.lasting_headers == got.lasting_headers
    assert api.ask("HEAD", "/todos/0").status == 404
    assert api.ask("HEAD", "/todos/clear-completed").status == 405
    assert Program().ask("HEAD", "/me").status == 401


def test_moments_are_given_to_the_microsecond(api: Program, alice: User) -> None:
    todo = new_todo(alice, completed_at=LONG_AGO + timedelta(microseconds=1))
    assert api.get(f"/todos/{todo.pk}").json["completed_at"].endswith(".000001Z")
