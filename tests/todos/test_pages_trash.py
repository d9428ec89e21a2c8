"""The trash as its owner sees it: what is there, and what its buttons do."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from pytest_django import Settings

from accounts.models import User
from accounts.services import UserService
from tasks.next_cleanup import remembered_schedules
from tests.factories import AS_OF, new_todo, new_todos, new_trash, trash
from tests.todos.locks import in_another_connection, locked, short_of_patience, wait_until_blocked
from tests.todos.sweeping import Run
from todos.bulk import at_once as at_once_module
from todos.leaving import Leaving
from todos.models import Todo, TrashedTodo
from todos.pages import trash_actions
from todos.pages.paging import BY_REMOVAL
from todos.pages.sweep_notice import notice_of
from todos.pages.trash import PAGE_ROWS
from todos.pages.trash_groups import groups_of
from todos.pages.trash_words import completed_words
from todos.services import TodoService

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)
HOSTILE = "<script>alert(1)</script>\"'></li>\u202e{{ 7 }}"

#: Nobody's id, and ids, moments and places that no page of ours sends.
UNKNOWN = str(2**40)
MALFORMED = ("", " ", "x", "-1", "1.5", "٣", "²", str(2**63), "9" * 5000, "1,2", "None")
MALFORMED_MOMENTS = (
    *("", "x", "2026-03-01", "2026-03-01T02:00:00", "0001-01-01T00:00:00+14:00"),
    *("9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z", "9" * 5000),
)

#: A moment of the morning, some hours after the night's cleanup.
MORNING = datetime(2026, 11, 30, 8, tzinfo=UTC)
TWO = datetime(2026, 11, 30, 2, tzinfo=UTC)


def at_two(after: datetime) -> datetime | None:
    """A cleanup daily at 02:00 UTC."""
    slot = after.astimezone(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    return slot if slot > after else slot + DAY


@pytest.fixture(autouse=True)
def _at_two(settings: Settings) -> None:
    settings.TODO_NEXT_CLEANUP = f"{__name__}.at_two"


@pytest.fixture
def hers(client: Client, alice: User) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


def text_of(response: Any) -> str:
    """Return what a reader sees of a page, on one line."""
    main = response.content.decode().partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())


def headings(response: Any) -> list[str]:
    """Return the headings of the groups."""
    found = re.findall(r"<h2>(.*?)</h2>", response.content.decode(), re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", "", heading).split()) for heading in found]


def see(client: Client, path: str = "/trash/") -> str:
    """Open a page; return what a reader sees."""
    response = client.get(path)
    assert response.status_code == 200
    return text_of(response)


def press(client: Client, name: str, **fields: Any) -> str:
    """Post a form of the trash; return the notice that the next page shows."""
    response = client.post(reverse(f"todos:{name}"), fields)
    assert response.status_code == 302, response.content
    page = client.get(response.headers["Location"]).content.decode()
    main = page.partition("<main")[2].partition("</main>")[0]
    (text,) = re.findall(r'<div class="notice[^"]*">\s*<p>(.*?)</p>', main)
    return unescape(text).translate({0x2068: None, 0x2069: None})


def question(client: Client) -> dict[str, str]:
    """Ask to empty the trash; return the fields of the form that is to confirm it."""
    page = client.get("/trash/empty/").content.decode()
    fields = re.findall(r'name="(until|seen)" value="([^"]*)"', page)
    assert len(fields) == 2, page
    return {name: unescape(value) for name, value in fields}


def titles(model: type[Todo] | type[TrashedTodo], user: User) -> set[str]:
    return set(model.objects.filter(user=user).values_list("title", flat=True))


def statements(queries: CaptureQueriesContext) -> list[str]:
    """Return what was asked of the database, without the bounds of transactions."""
    bounds = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    return [query["sql"] for query in queries if not query["sql"].startswith(bounds)]


# What is there.


@time_machine.travel(MORNING, tick=False)
def test_the_trash_is_grouped_by_how_todos_left_the_newest_first(
    hers: Client, alice: User, bob: User
) -> None:
    trash(alice, "Milk", "Bread", run_id=7, trashed_at=TWO)
    trash(alice, "Lamp", run_id=6, trashed_at=TWO - DAY)
    trash(alice, "Slip", trashed_at=TWO + 4 * timedelta(hours=1))
    trash(alice, "Desk", "Slides", trashed_at=TWO - 3 * DAY)
    trash(alice, "Helped", by=bob, trashed_at=TWO - 4 * DAY)
    trash(bob, "His own", run_id=7, trashed_at=TWO)

    page = hers.get("/trash/")

    assert headings(page) == [
        "You deleted today, Mon 30 November",
        "Swept last night, Mon 30 November: 2 todos",
        "Swept on Sun 29 November: 1 todo",
        "You cleared these on Fri 27 November: 2 todos",
        "Deleted for you on Thu 26 November",
    ]
    assert "Bring all 2 back" in text_of(page)
    assert "Last night Tidy took 2 completed todos. Undo last night" in text_of(page)
    assert "His own" not in text_of(page)


@time_machine.travel(MORNING, tick=False)
def test_each_todo_says_whether_it_was_completed_and_when_it_leaves_for_good(
    hers: Client, alice: User, settings: Settings
) -> None:
    (milk,) = trash(alice, "Milk", trashed_at=MORNING - 18 * DAY)
    TrashedTodo.objects.filter(pk=milk).update(completed_at=MORNING - 19 * DAY)
    trash(alice, "Bread", trashed_at=MORNING - 29 * DAY)
    trash(alice, "Lamp", trashed_at=MORNING - 30 * DAY + timedelta(hours=1))
    trash(alice, "Desk", trashed_at=MORNING - 30 * DAY)
    trash(alice, "Long promised", trashed_at=MORNING - 30 * DAY, trash_days=40)

    seen = see(hers)

    assert "Milk completed · leaves for good in 12 days" in seen
    assert "Bread not completed · leaves for good in 1 day" in seen
    assert "Lamp not completed · may leave for good within a day" in seen
    assert "Desk not completed · leaves for good any night now" in seen
    assert "Long promised not completed · leaves for good in 10 days" in seen

    # A longer time holds for what is there already.
    settings.TODO_TRASH_DAYS = 60
    assert "Milk completed · leaves for good in 42 days" in see(hers)


def test_days_are_those_of_the_reader(hers: Client, alice: User) -> None:
    UserService.set_preferences(user=alice, time_zone="Pacific/Auckland")
    trash(alice, "Milk", run_id=7, trashed_at=TWO)
    with time_machine.travel(MORNING, tick=False):
        assert headings(hers.get("/trash/")) == ["Swept today, Mon 30 November: 1 todo"]
        assert "Today Tidy took 1 completed todo." in see(hers)


@time_machine.travel(MORNING, tick=False)
def test_what_was_swept_the_evening_before_was_swept_last_night(hers: Client, alice: User) -> None:
    trash(alice, "Milk", run_id=7, trashed_at=TWO - timedelta(hours=3))
    trash(alice, "Bread", run_id=6, trashed_at=TWO - timedelta(hours=9))
    assert headings(hers.get("/trash/")) == [
        "Swept last night, Sun 29 November: 1 todo",
        "Swept on Sun 29 November: 1 todo",
    ]


def test_titles_are_shown_as_they_are_and_do_nothing(hers: Client, alice: User) -> None:
    trash(alice, HOSTILE)
    page = hers.get("/trash/").content.decode()
    assert "<script>alert" not in page
    assert re.search(rf"<bdi[^>]*>{re.escape(escape(HOSTILE))}</bdi>", page)


def test_an_empty_trash_says_what_it_is_for(hers: Client, settings: Settings) -> None:
    assert "The trash is empty." in see(hers)
    assert "waits here for 30 days, in case you want it back" in see(hers)
    assert "Empty the trash" not in see(hers)

    settings.TODO_TRASH_DAYS = 0
    assert "There is no trash here" in see(hers)
    assert "waits here" not in see(hers)


def test_a_site_without_a_trash_keeps_its_promises(
    hers: Client, alice: User, settings: Settings
) -> None:
    (milk,) = trash(alice, "Milk")
    settings.TODO_TRASH_DAYS = 0
    seen = see(hers)
    assert "There is no trash here" in seen
    assert "Milk not completed · leaves for good in 29 days" in seen, "and some hours"
    assert press(hers, "restore", id=milk) == "“Milk” is on your list again."


def test_a_long_trash_comes_page_by_page_and_nothing_is_left_out(hers: Client, alice: User) -> None:
    now = timezone.now()
    new_trash(alice, each=PAGE_ROWS + 50, run_id=7, trashed_at=now - DAY)
    new_trash(alice, each=PAGE_ROWS, trashed_at=now - 2 * DAY, trashed_by=alice)
    new_trash(alice, each=1, trashed_at=now, trashed_by=alice)
    seen: list[str] = []
    path: str | None = "/trash/"
    while path:
        page = hers.get(path).content.decode()
        seen += re.findall(r'id="pick-(\d+)"', page)
        older = re.search(r'rel="next" href="([^"]*)"', page)
        path = "/trash/" + unescape(older[1]) if older else None

    expected = TrashedTodo.objects.order_by("-trashed_at", "-pk").values_list("pk", flat=True)
    assert [int(pk) for pk in seen] == list(expected)
    assert 'rel="prev"' in page
    # The group says how many there are on all pages.
    assert f"{PAGE_ROWS + 50} todos" in see(hers)


def test_a_night_has_a_page_of_its_own(hers: Client, alice: User) -> None:
    trash(alice, "Milk", run_id=7)
    trash(alice, "Lamp", run_id=6)
    seen = see(hers, reverse("todos:trash") + "?run=7")
    assert "Milk" in seen
    assert "Lamp" not in seen


@pytest.mark.parametrize("run", ["8", UNKNOWN])
def test_a_night_that_is_unknown_or_took_others_alone_has_nothing_left(
    hers: Client, bob: User, run: str
) -> None:
    trash(bob, "His own", run_id=8)
    seen = see(hers, f"/trash/?run={run}")
    assert "Nothing from that night is in the trash any more." in seen
    assert "His own" not in seen


def test_the_trash_is_for_who_is_logged_in(client: Client) -> None:
    for name in (
        *("trash", "restore", "restore_night", "restore_cleared", "delete_forever", "empty_trash"),
    ):
        for answer in (client.get, client.post) if name != "trash" else (client.get,):
            response = answer(reverse(f"todos:{name}"))
            assert response.status_code == 302
            assert response.headers["Location"].startswith(reverse("account_login"))


def test_who_comes_to_a_button_by_its_address_sees_the_trash(hers: Client) -> None:
    for name in ("restore", "restore_night", "restore_cleared"):
        response = hers.get(reverse(f"todos:{name}"))
        assert (response.status_code, response.headers["Location"]) == (302, "/trash/")


# What comes back.


@time_machine.travel(MORNING, tick=False)
def test_what_comes_back_says_until_when_it_stays(hers: Client, alice: User) -> None:
    trash(alice, "Milk", "Bread", run_id=7)
    TrashedTodo.objects.update(completed_at=MORNING - DAY)

    said = press(hers, "restore_night", run=7)

    assert said == "Brought back 2 todos. They stay at least until Mon 7 December."
    assert titles(Todo, alice) == {"Milk", "Bread"}


@time_machine.travel(MORNING)
def test_it_stays_as_long_as_it_says_and_not_longer(hers: Client, alice: User) -> None:
    trash(alice, "Milk", run_id=7)
    TrashedTodo.objects.update(completed_at=MORNING - DAY)
    press(hers, "restore_night", run=7)
    # By the database's clock, which nobody turns; the cleanup counts from it as it would then.
    restored = Todo.objects.get().restored_at
    assert restored is not None
    end = restored.astimezone(UTC) + 7 * DAY
    last = end.replace(hour=2, minute=0, second=0, microsecond=0)
    if last > end:  # It was restored before the cleanup of its day.
        last -= DAY
    due = Todo.objects.all()
    assert not due.due_for_cleanup(as_of=last, keep_days=0).exists()
    assert due.due_for_cleanup(as_of=last + DAY, keep_days=0).exists()


@time_machine.travel(MORNING, tick=False)
def test_where_no_cleanup_takes_it_it_simply_stays(hers: Client, alice: User) -> None:
    UserService.set_preferences(user=alice, auto_cleanup=False)
    trash(alice, "Milk", run_id=7)
    assert press(hers, "restore_night", run=7) == "Brought back 1 todo. It stays on your list."


def test_one_open_todo_is_on_the_list_again(hers: Client, alice: User) -> None:
    (milk,) = trash(alice, "Milk")
    assert press(hers, "restore", id=milk) == "“Milk” is on your list again."
    assert titles(Todo, alice) == {"Milk"}


def test_a_selection_comes_back_and_the_rest_stays(hers: Client, alice: User) -> None:
    milk, bread, _lamp = trash(alice, "Milk", "Bread", "Lamp")
    assert press(hers, "restore", id=[milk, bread]) == "2 todos are on your list again."
    assert titles(Todo, alice) == {"Milk", "Bread"}
    assert titles(TrashedTodo, alice) == {"Lamp"}


@pytest.mark.parametrize(
    ("trash_days", "promise", "completed"),
    [
        (30, "it waits in the trash", "Completed “Milk”. It leaves tonight."),
        (
            0,
            "leaves your list by itself, for good.",
            "Completed “Milk”. It leaves tonight, for good.",
        ),
    ],
)
@time_machine.travel(MORNING, tick=False)
def test_a_site_without_a_trash_promises_none(
    alice: User, settings: Settings, trash_days: int, promise: str, completed: str
) -> None:
    settings.TODO_TRASH_DAYS = trash_days
    assert promise in Client().get("/").content.decode()
    milk = new_todo(alice, title="Milk", completed_at=MORNING)
    said = completed_words(milk, Leaving(alice, now=MORNING))
    assert said.translate(dict.fromkeys((0x2068, 0x2069))) == completed


def test_a_selection_of_nothing_asks_for_one(hers: Client) -> None:
    for name in ("restore", "delete_forever"):
        assert press(hers, name) == "Choose a todo first."


def test_a_second_click_says_that_it_is_on_the_list_already(hers: Client, alice: User) -> None:
    milk, bread = trash(alice, "Milk", "Bread")
    press(hers, "restore", id=milk)
    assert press(hers, "restore", id=milk) == "“Milk” is on your list already."
    both = press(hers, "restore", id=[milk, bread])
    assert both == "“Bread” is on your list again. “Milk” is on your list already."
    assert Todo.objects.count() == 2


def test_undoing_a_night_twice_restores_it_once(hers: Client, alice: User) -> None:
    trash(alice, "Milk", run_id=7)
    press(hers, "restore_night", run=7)
    assert press(hers, "restore_night", run=7) == "That is on your list already."
    assert titles(Todo, alice) == {"Milk"}


def test_undo_of_what_has_been_deleted_for_good_says_so(hers: Client, alice: User) -> None:
    at = timezone.now()
    (bread,) = trash(alice, "Bread")
    press(hers, "restore", id=bread)
    Todo.objects.update(restored_at=at - DAY)
    trash(alice, "Milk", "Lamp", trashed_at=at)
    press(hers, "empty_trash", **question(hers))
    gone = "Nothing of that is in the trash any more: it is gone for good."
    assert press(hers, "restore_cleared", trashed_at=at.isoformat()) == gone
    window = {"since": (at - DAY).isoformat(), "until": at.isoformat()}
    assert press(hers, "restore_night", **window) == gone


def test_several_nights_come_back_together(hers: Client, alice: User) -> None:
    for run in (5, 6, 7):
        trash(alice, f"Of {run}", run_id=run)
    assert press(hers, "restore_night", run=[5, 7]).startswith("Brought back 2 todos.")
    assert titles(TrashedTodo, alice) == {"Of 6"}


def test_what_was_purged_meanwhile_is_gone_for_good(hers: Client, alice: User) -> None:
    milk, bread = trash(alice, "Milk", "Bread")
    TrashedTodo.objects.filter(pk=milk).delete()
    gone = hers.post("/trash/restore/", {"id": milk})
    assert gone.status_code == 404
    assert "That is gone for good" in text_of(gone)
    some = press(hers, "restore", id=[milk, bread])
    assert some == "“Bread” is on your list again. 1 of them is gone for good."


def test_what_cannot_come_back_says_why(hers: Client, alice: User, bob: User) -> None:
    taken, free = trash(alice, "Milk", "Bread", run_id=7)
    TrashedTodo.objects.update(completed_at=timezone.now())
    new_todo(bob, pk=taken)
    said = press(hers, "restore_night", run=7)
    assert said.startswith("Brought back 1 todo. It stays at least until ")
    assert said.endswith("1 todo could not be brought back: another one has its number.")
    assert press(hers, "restore", id=taken) == (
        "1 todo could not be brought back: another one has its number."
    )
    assert [todo.pk for todo in Todo.objects.filter(user=alice)] == [free]


def test_what_was_cleared_comes_back_by_its_moment_and_nothing_else_does(
    hers: Client, alice: User
) -> None:
    trash(alice, "Deleted before")
    new_todos(alice, each=3)
    cleared = TodoService.clear_completed(user=alice)
    trash(alice, "Deleted after")

    assert cleared.todos == 3
    said = press(hers, "restore_cleared", trashed_at=cleared.trashed_at.isoformat())

    assert said.startswith("Brought back 3 todos. They stay at least until ")
    assert titles(TrashedTodo, alice) == {"Deleted before", "Deleted after"}
    again = press(hers, "restore_cleared", trashed_at=cleared.trashed_at.isoformat())
    assert again == "That is on your list already."


@pytest.mark.parametrize(
    ("next_", "to"),
    [
        ("/?page=2", "/?page=2"),
        ("https://evil.example/", "/trash/"),
        ("//evil.example", "/trash/"),
        ("javascript:alert(1)", "/trash/"),
        ("todos:list", "/trash/"),
        ("x:y", "/trash/"),
        ("x", "/trash/"),
        ("", "/trash/"),
    ],
)
def test_a_button_leads_back_to_its_page_and_to_nobody_elses(
    hers: Client, alice: User, next_: str, to: str
) -> None:
    (milk,) = trash(alice, "Milk")
    response = hers.post("/trash/restore/", {"id": milk, "next": next_})
    assert response.headers["Location"] == to


# What is deleted for good.


def test_deleting_for_good_asks_once_and_says_what_and_how_many(hers: Client, alice: User) -> None:
    milk, bread, _lamp = trash(alice, "Milk", "Bread", "Lamp")

    asked = hers.post("/trash/delete/", {"id": [milk, bread]}, follow=True)

    assert "Delete 2 todos for good? Bread Milk This cannot be undone" in text_of(asked)
    assert TrashedTodo.objects.count() == 3
    said = press(hers, "delete_forever", id=[milk, bread], sure="yes")
    assert said == "Deleted 2 todos for good."
    assert titles(TrashedTodo, alice) == {"Lamp"}
    assert not Todo.objects.exists()


def test_a_long_selection_is_told_by_its_number(hers: Client, alice: User) -> None:
    pks = trash(alice, *(f"Todo {number}" for number in range(25)))
    asked = hers.get("/trash/delete/", {"id": pks})
    assert "Delete 25 todos for good?" in text_of(asked)
    assert "and 5 more" in text_of(asked)


def test_what_was_restored_meanwhile_is_not_deleted(hers: Client, alice: User) -> None:
    milk, bread = trash(alice, "Milk", "Bread")
    press(hers, "restore", id=milk)
    assert press(hers, "delete_forever", id=milk, sure="yes").startswith("Nothing was deleted")
    assert press(hers, "delete_forever", id=[milk, bread], sure="yes") == (
        "Deleted 1 todo for good."
    )
    assert titles(Todo, alice) == {"Milk"}


def test_deleting_for_good_twice_is_told(hers: Client, alice: User) -> None:
    (milk,) = trash(alice, "Milk")
    press(hers, "delete_forever", id=milk, sure="yes")
    assert hers.post("/trash/delete/", {"id": milk, "sure": "yes"}).status_code == 404
    assert hers.get("/trash/delete/", {"id": milk}).status_code == 404


def test_emptying_the_trash_asks_once_and_takes_what_was_there_then(
    hers: Client, alice: User, bob: User
) -> None:
    trash(alice, "Milk", "Bread")
    trash(bob, "His own")
    asked = text_of(hers.get("/trash/empty/"))
    assert "2 todos are deleted for good, all that is in your trash." in asked
    confirmed = question(hers)
    trash(alice, "Deleted while the question stood there")

    assert press(hers, "empty_trash", **confirmed) == "Deleted 2 todos for good."

    assert titles(TrashedTodo, alice) == {"Deleted while the question stood there"}
    assert titles(TrashedTodo, bob) == {"His own"}


def test_what_was_on_its_way_to_the_trash_when_it_was_shown_is_asked_about(
    hers: Client, alice: User
) -> None:
    trash(alice, "Milk")
    confirmed = question(hers)
    # A removal that began before Milk's, and ended after the question.
    trash(alice, "Bread", trashed_at=TrashedTodo.objects.get().trashed_at - timedelta(seconds=1))

    again = hers.post("/trash/empty/", confirmed)
    assert "Your trash has changed meanwhile. Nothing has been deleted yet." in text_of(again)
    assert "2 todos are deleted for good" in text_of(again)
    assert titles(TrashedTodo, alice) == {"Milk", "Bread"}

    assert press(hers, "empty_trash", **question(hers)) == "Deleted 2 todos for good."
    assert not TrashedTodo.objects.exists()


def test_emptying_a_trash_of_which_one_was_restored_meanwhile_asks_again(
    hers: Client, alice: User
) -> None:
    milk, _bread = trash(alice, "Milk", "Bread")
    confirmed = question(hers)
    press(hers, "restore", id=milk)
    assert "1 todo is deleted for good" in text_of(hers.post("/trash/empty/", confirmed))
    assert titles(TrashedTodo, alice) == {"Bread"}


def test_a_trash_larger_than_one_statement_is_emptied(
    hers: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_actions, "MOST_AT_ONCE", 3)
    trash(alice, *"abcdefgh")
    assert press(hers, "empty_trash", **question(hers)) == "Deleted 8 todos for good."
    assert not TrashedTodo.objects.exists()


def test_large_numbers_are_written_as_the_readers_language_does(hers: Client, alice: User) -> None:
    new_trash(alice, each=1_200, run_id=7, trashed_at=AS_OF)
    assert "Bring all 1,200 back" in see(hers)
    UserService.set_preferences(user=alice, language="de")
    assert "1.200" in see(hers)
    assert "1,200" not in see(hers)


def test_emptying_an_empty_trash_shows_it(hers: Client) -> None:
    assert hers.get("/trash/empty/").headers["Location"] == "/trash/"
    assert press(hers, "empty_trash", until=timezone.now().isoformat()).startswith("Nothing")


def test_emptying_without_having_been_asked_asks(hers: Client, alice: User) -> None:
    trash(alice, "Milk")
    assert "Empty the trash?" in text_of(hers.post("/trash/empty/"))
    assert titles(TrashedTodo, alice) == {"Milk"}


# What nobody may, and what no page of ours sends.


def test_others_todos_are_not_found_as_if_they_did_not_exist(hers: Client, bob: User) -> None:
    his, on_list = trash(bob, "His own", run_id=8)[0], new_todo(bob).pk
    cleared = trash(bob, "Cleared", trashed_at=AS_OF)

    def answers(pk: int | str) -> list[tuple[int, str]]:
        forms = (
            hers.post("/trash/restore/", {"id": pk}),
            hers.post("/trash/delete/", {"id": pk, "sure": "yes"}),
            hers.get("/trash/delete/", {"id": pk}),
        )
        return [(form.status_code, text_of(form)) for form in forms]

    assert answers(his) == answers(on_list) == answers(UNKNOWN)
    assert {status for status, _ in answers(his)} == {404}
    assert press(hers, "restore_night", run=8) == press(hers, "restore_night", run=UNKNOWN)
    moments = (AS_OF.isoformat(), (AS_OF - DAY).isoformat())
    first, second = (press(hers, "restore_cleared", trashed_at=moment) for moment in moments)
    assert first == second
    press(hers, "empty_trash", until=timezone.now().isoformat())
    assert set(TrashedTodo.objects.values_list("pk", flat=True)) == {his, *cleared}
    assert [todo.pk for todo in Todo.objects.all()] == [on_list]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_ids_are_not_found(hers: Client, text: str) -> None:
    for path, fields in (
        ("/trash/restore/", {"id": text}),
        ("/trash/restore-night/", {"run": text}),
        ("/trash/delete/", {"id": text, "sure": "yes"}),
    ):
        assert hers.post(path, fields).status_code == 404
    assert hers.get("/trash/", {"run": text}).status_code == 404
    assert hers.get("/trash/delete/", {"id": text}).status_code == 404


@pytest.mark.parametrize("text", MALFORMED_MOMENTS)
def test_malformed_moments_and_places_are_not_found(hers: Client, text: str) -> None:
    assert hers.post("/trash/restore-cleared/", {"trashed_at": text}).status_code == 404
    assert hers.post("/trash/empty/", {"until": text}).status_code == 404
    for way in ("before", "after"):
        for place in (f"x{text}", f"{text}_1", f"{AS_OF.isoformat()}_x{text}"):
            assert hers.get("/trash/", {way: place}).status_code == 404


def test_a_night_that_is_not_named_restores_nothing(hers: Client, alice: User) -> None:
    trash(alice, "Milk", run_id=7)
    trash(alice, "Bread")
    press(hers, "restore_night")
    assert not Todo.objects.exists()


def test_nothing_is_done_without_the_token_of_the_form(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    (milk,) = trash(alice, "Milk")
    for name in ("restore", "restore_night", "restore_cleared", "delete_forever", "empty_trash"):
        answer = strict.post(reverse(f"todos:{name}"), {"id": milk, "sure": "yes"})
        assert answer.status_code == 403
    assert titles(TrashedTodo, alice) == {"Milk"}


# What it costs.


@pytest.mark.parametrize("each", [10, 10_000])
def test_a_request_costs_six_queries_at_most_whatever_the_size(
    hers: Client, alice: User, settings: Settings, each: int
) -> None:
    settings.TODO_NEXT_CLEANUP = "tasks.next_cleanup.next_cleanup"
    now = timezone.now()
    new_trash(alice, each=each, run_id=7, trashed_at=now, completed_at=now - DAY)
    some = list(TrashedTodo.objects.values_list("pk", flat=True)[:10])

    def cost(do: Callable[[str, dict[str, Any]], Any], path: str, **fields: Any) -> int:
        remembered_schedules.cache_clear()
        with CaptureQueriesContext(connection) as queries:
            response = do(path, fields)
        assert response.status_code in {200, 302}
        return len(statements(queries))

    assert cost(hers.get, "/trash/") <= 6
    assert cost(hers.get, "/trash/", run=7) <= 6
    assert cost(hers.get, "/trash/", after=f"{now.isoformat()}_{some[5]}") <= 6
    assert cost(hers.get, "/trash/delete/", id=some) <= 6
    assert cost(hers.get, "/trash/empty/") <= 6
    assert cost(hers.post, "/trash/restore/", id=some[:1]) <= 6
    assert cost(hers.post, "/trash/restore/", id=some[:3]) <= 6
    assert cost(hers.post, "/trash/delete/", id=some, sure="yes") <= 6
    assert cost(hers.post, "/trash/restore-night/", run=7) <= 6
    assert not TrashedTodo.objects.exists()
    new_trash(alice, each=each, trashed_at=now)
    assert cost(hers.post, "/trash/empty/", **question(hers)) <= 6
    assert not TrashedTodo.objects.exists()


@pytest.mark.postgresql
def test_a_page_reads_the_rows_of_its_owner_alone(alice: User, bob: User, carol: User) -> None:
    now = timezone.now()
    for user in (bob, carol):
        new_trash(user, each=20_000, run_id=7, trashed_at=now)
    new_trash(alice, each=2_000, run_id=7, trashed_at=now)
    trash_of_alice = TrashedTodo.objects.filter(user=alice)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE todos_trashedtodo")
    with CaptureQueriesContext(connection) as queries:
        page = BY_REMOVAL.page(trash_of_alice, {}, size=PAGE_ROWS)
        groups_of(alice, trash_of_alice, page.todos, now=now)
        notice_of(trash_of_alice, since=AS_OF, now=MORNING)
        trash_of_alice.count()
    asked = statements(queries)
    assert len(asked) == 4
    with connection.cursor() as cursor:
        for statement in asked:
            cursor.execute(f"EXPLAIN {statement}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "todos_trashedtodo_user_id" in plan, plan
            assert "Seq Scan" not in plan, plan


# Several at once.


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Do all of it at the same time; return what each returned."""
    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(in_another_connection, work) for work in works]
        return [future.result(timeout=60) for future in futures]


@pytest.mark.postgresql
def test_what_is_restored_purged_and_deleted_for_good_at_once_is_neither_doubled_nor_resurrected(
    alice: User,
) -> None:
    new_trash(alice, each=2_000, run_id=7, trashed_at=AS_OF, completed_at=AS_OF - DAY)
    everything = TrashedTodo.objects.filter(user=alice)

    restored, deleted, purged, again = at_once(
        lambda: TodoService.restore_at_once(todos=everything)["todos_restored"],
        lambda: TodoService.purge_selected(todos=everything),
        lambda: TodoService.purge(as_of=timezone.now(), days=0, batch_size=50)["todos_purged"],
        lambda: TodoService.restore_at_once(todos=everything.swept_by(7))["todos_restored"],
    )

    assert restored + deleted + purged + again == 2_000
    assert Todo.objects.count() == restored + again
    assert not TrashedTodo.objects.exists()


@pytest.mark.postgresql
def test_two_windows_that_undo_a_night_at_once_restore_it_once(alice: User) -> None:
    trash(alice, "Milk", "Bread", run_id=7)

    def undo() -> str:
        window = Client()
        window.force_login(alice)
        return press(window, "restore_night", run=7)

    said = sorted(at_once(undo, undo))
    assert [words.split()[0] for words in said] == ["Brought", "That"]
    assert titles(Todo, alice) == {"Milk", "Bread"}


@pytest.mark.postgresql
def test_a_sweep_that_is_still_at_work_sends_no_restored_todo_back(alice: User) -> None:
    new_todos(alice, each=300)

    def sweep() -> int:
        return TodoService.sweep(as_of=AS_OF, batch_size=20, store=Run(7))["todos_deleted"]

    def undo() -> int:
        swept = TrashedTodo.objects.filter(user=alice).swept_by(7)
        return sum(TodoService.restore_at_once(todos=swept)["todos_restored"] for _ in range(20))

    swept, restored = at_once(sweep, undo)
    assert swept == 300
    assert Todo.objects.count() == restored
    assert TrashedTodo.objects.count() == 300 - restored


@pytest.mark.postgresql
def test_who_restores_what_another_window_deletes_for_good_is_told(alice: User) -> None:
    (milk,) = trash(alice, "Milk")
    window = Client()
    window.force_login(alice)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            TodoService.purge_selected(todos=TrashedTodo.objects.filter(user=alice))
            restoring = pool.submit(
                in_another_connection, lambda: window.post("/trash/restore/", {"id": milk})
            )
            wait_until_blocked(restoring)
        assert restoring.result(timeout=10).status_code == 404
    assert not Todo.objects.exists()


@pytest.mark.postgresql
def test_a_todo_that_somebody_holds_is_asked_for_again_later(hers: Client, alice: User) -> None:
    (milk,) = trash(alice, "Milk")
    with locked("todos_trashedtodo", milk), short_of_patience():
        for path, fields in (
            ("/trash/restore/", {"id": milk}),
            ("/trash/delete/", {"id": milk, "sure": "yes"}),
        ):
            assert hers.post(path, fields).status_code == 503
    assert titles(TrashedTodo, alice) == {"Milk"}
    assert press(hers, "restore", id=milk) == "“Milk” is on your list again."


@pytest.mark.postgresql
@pytest.mark.parametrize("path", ["/trash/restore/", "/trash/delete/", "/trash/empty/"])
def test_who_cannot_know_what_was_done_is_not_told_that_nothing_was(
    hers: Client, alice: User, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The connection is lost after the commit: what is done again would find nothing to do."""

    @contextmanager
    def lost_reply() -> Iterator[None]:
        with transaction.atomic():
            yield
        raise OperationalError("server closed the connection unexpectedly")

    (milk,) = trash(alice, "Milk")
    fields = {"id": milk, "sure": "yes", **question(hers)}
    monkeypatch.setattr(at_once_module, "transaction", SimpleNamespace(atomic=lost_reply))
    hers.raise_request_exception = False
    assert hers.post(path, fields).status_code == 503
    assert not TrashedTodo.objects.exists()


def test_more_than_fit_into_a_statement_are_done_in_batches(
    hers: Client, alice: User, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(at_once_module, "MOST_AT_ONCE", 9)
    settings.TODO_SWEEP_BATCH_SIZE = 4
    new_trash(alice, each=10, run_id=7, trashed_at=AS_OF, completed_at=AS_OF - DAY)
    assert press(hers, "restore_night", run=7).startswith("Brought back 10 todos.")
    new_trash(alice, each=10, run_id=7, trashed_at=AS_OF)
    assert press(hers, "empty_trash", **question(hers)) == "Deleted 10 todos for good."
    assert not TrashedTodo.objects.exists()
