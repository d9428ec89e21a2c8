"""What people are told, once, of what the cleanup took while they were away."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.services import UserService
from tests.factories import AS_OF, new_todos, new_trash, trash
from tests.todos.locks import in_another_connection
from tests.todos.sweeping import Run
from todos.models import Todo, TrashedTodo
from todos.pages.sweep_notice import show_sweeps
from todos.services import TodoService

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)

#: A morning, some hours after the night's cleanup.
MORNING = datetime(2026, 11, 30, 8, tzinfo=UTC)
TWO = datetime(2026, 11, 30, 2, tzinfo=UTC)


@pytest.fixture
def hers(client: Client, alice: User) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


@pytest.fixture
def her_phone(alice: User) -> Client:
    """Another browser of hers."""
    phone = Client()
    phone.force_login(alice)
    return phone


def told(client: Client) -> str:
    """Return what her list tells of a sweep; nothing if it does not."""
    page = client.get("/").content.decode()
    found = re.search(r'<section class="notice sweep-notice".*?</section>', page, re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", found[0])).split()) if found else ""


def press_undo(client: Client, page: str) -> Any:
    """Press the Undo of the notice on a page."""
    form = page.partition('<section class="notice sweep-notice"')[2].partition("</form>")[0]
    address = re.search(r'action="([^"]*)"', form)
    assert address
    window = dict(re.findall(r'name="(since|until)" value="([^"]*)"', form))
    return client.post(address[1], {**window, "next": "/"}, follow=True)


def sweep(run_id: int) -> int:
    return TodoService.sweep(as_of=AS_OF, store=Run(run_id))["todos_deleted"]


def test_the_next_visit_says_once_what_was_swept(hers: Client, alice: User) -> None:
    new_todos(alice, each=12)
    assert told(hers) == ""
    assert sweep(7) == 12
    assert "Tidy took 12 completed todos. See in the trash Undo" in told(hers)
    assert told(hers) == ""


@time_machine.travel(MORNING, tick=False)
def test_it_links_to_what_was_taken_last_night_and_undoes_it_in_one_click(
    hers: Client, alice: User
) -> None:
    trash(alice, "Milk", "Bread", run_id=7, trashed_at=TWO)
    trash(alice, "Deleted", trashed_at=TWO)
    page = hers.get("/").content.decode()

    assert "Last night Tidy took 2 completed todos." in page
    assert 'href="/trash/?run=7"' in page
    after = press_undo(hers, page)

    assert "Brought back 2 todos." in after.content.decode()
    assert after.redirect_chain == [("/", 302)]
    assert set(Todo.objects.values_list("title", flat=True)) == {"Milk", "Bread"}
    assert [todo.title for todo in TrashedTodo.objects.all()] == ["Deleted"]


@time_machine.travel(MORNING, tick=False)
@pytest.mark.parametrize(
    ("nights", "words"),
    [
        ([TWO], "Last night Tidy took 1 completed todo."),
        ([TWO - timedelta(hours=3)], "Last night Tidy took 1 completed todo."),
        ([TWO, TWO - timedelta(hours=3)], "Last night Tidy took 2 completed todos."),
        ([TWO, MORNING - timedelta(hours=1)], "Since last night Tidy took 2 completed todos."),
        ([MORNING - timedelta(minutes=1)], "Today Tidy took 1 completed todo."),
        ([MORNING, MORNING - timedelta(hours=1)], "Today Tidy took 2 completed todos."),
        ([TWO - 2 * DAY], "On Sat 28 November Tidy took 1 completed todo."),
        ([TWO, TWO - DAY, TWO - 2 * DAY], "Since Sat 28 November Tidy took 3 completed todos."),
    ],
)
def test_it_says_when(hers: Client, alice: User, nights: list[datetime], words: str) -> None:
    for run, night in enumerate(nights, start=7):
        trash(alice, "Milk", run_id=run, trashed_at=night)
    assert words in told(hers)


@time_machine.travel(MORNING, tick=False)
def test_several_nights_come_back_by_one_undo(hers: Client, alice: User) -> None:
    UserService.set_sweeps_seen(user=alice, until=TWO - 3 * DAY)
    for run, days in ((5, 3), (6, 2), (7, 1), (8, 0)):
        trash(alice, f"Of {run}", run_id=run, trashed_at=TWO - days * DAY)
    page = hers.get("/").content.decode()
    assert "Since Sat 28 November Tidy took 3 completed todos." in page
    assert 'href="/trash/"' in page.partition("sweep-notice")[2]

    press_undo(hers, page)

    # What she had been told of before stays where it is.
    assert [todo.title for todo in TrashedTodo.objects.all()] == ["Of 5"]


@time_machine.travel(MORNING, tick=False)
def test_undo_names_what_it_brings_back(hers: Client, alice: User) -> None:
    for hours in (6, 1):
        trash(alice, "Milk", run_id=hours, trashed_at=MORNING - timedelta(hours=hours))
    words = told(hers)
    assert words.endswith("Undo all 2"), "not only last night's"
    trash(alice, "Milk", run_id=9, trashed_at=MORNING)
    assert told(hers).endswith("Undo")


def test_all_that_is_told_comes_back_however_many_sweeps_there_were(
    hers: Client, alice: User
) -> None:
    for hours in range(60):
        trash(alice, "Milk", run_id=1 + hours, trashed_at=MORNING - timedelta(hours=hours))
    UserService.set_sweeps_seen(user=alice, until=MORNING - 7 * DAY)
    page = hers.get("/").content.decode()
    assert "Tidy took 60 completed todos." in page
    press_undo(hers, page)
    assert Todo.objects.count() == 60


def test_the_first_sweep_of_an_account_is_told_however_late(client: Client, db: None) -> None:
    with time_machine.travel(MORNING - 60 * DAY):
        newcomer = UserService.create_user(username="dave", password="!langes Wort")
    trash(newcomer, "Milk", run_id=7, trashed_at=MORNING - 20 * DAY)
    client.force_login(newcomer)
    with time_machine.travel(MORNING):
        assert "Tidy took 1 completed todo." in told(client)


def test_whoever_has_looked_once_is_told_of_the_first_sweep_however_late(
    hers: Client, alice: User
) -> None:
    now = datetime.now(UTC)
    assert told(hers) == ""
    trash(alice, "Milk", run_id=7, trashed_at=now)
    with time_machine.travel(now + 12 * DAY):
        alice.refresh_from_db()
        notice = show_sweeps(alice, now=now + 12 * DAY)
    assert notice
    assert notice.todos == 1


def test_a_first_visit_tells_of_the_last_week(hers: Client, alice: User) -> None:
    now = datetime.now(UTC)
    trash(alice, "Old", run_id=6, trashed_at=now - 8 * DAY)
    assert told(hers) == ""
    trash(alice, "Milk", run_id=7, trashed_at=now - 6 * DAY)
    assert "Tidy took 1 completed todo." in told(hers)


def test_it_is_told_once_to_a_person_not_to_each_device(
    hers: Client, her_phone: Client, alice: User
) -> None:
    trash(alice, "Milk", run_id=7)
    assert told(her_phone)
    assert told(hers) == ""
    trash(alice, "Bread", run_id=8)
    assert told(hers)
    assert told(her_phone) == ""


def test_what_she_deleted_herself_and_what_others_lost_is_not_told(
    hers: Client, alice: User, bob: User
) -> None:
    trash(alice, "Milk")
    trash(alice, "Bread", by=bob)
    trash(bob, "His own", run_id=7)
    assert told(hers) == ""


def test_what_she_has_brought_back_already_is_not_told(hers: Client, alice: User) -> None:
    trash(alice, "Milk", run_id=7)
    TodoService.restore_last_sweep(user=alice)
    assert told(hers) == ""


def test_a_sweep_that_goes_on_after_the_visit_is_told_of_again(hers: Client, alice: User) -> None:
    trash(alice, "Milk", run_id=7)
    assert "1 completed todo." in told(hers)
    trash(alice, "Bread", "Butter", run_id=7)
    assert "2 completed todos." in told(hers)


def test_a_window_that_saw_less_does_not_take_back_what_another_saw(alice: User) -> None:
    UserService.set_sweeps_seen(user=alice, until=TWO)
    UserService.set_sweeps_seen(user=alice, until=TWO - DAY)
    assert User.objects.get().sweeps_seen_until == TWO


@pytest.mark.postgresql
def test_two_windows_at_once_tell_it_at_least_once(
    hers: Client, her_phone: Client, alice: User
) -> None:
    for run in range(1, 11):
        trash(alice, "Milk", run_id=run)
        windows: list[Callable[[], str]] = [lambda: told(hers), lambda: told(her_phone)]
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(in_another_connection, windows))
        assert any(said)
        assert told(hers) == ""


@pytest.mark.parametrize("each", [10, 10_000])
def test_it_costs_a_query_and_one_more_when_there_is_something_to_tell(
    alice: User, each: int
) -> None:
    now = datetime.now(UTC)
    UserService.set_sweeps_seen(user=alice, until=now - 2 * DAY)
    with CaptureQueriesContext(connection) as queries:
        assert show_sweeps(alice, now=now) is None
    assert len(queries) == 1
    new_trash(alice, each=each, run_id=7, trashed_at=now)
    for run in range(10, 60):
        new_trash(alice, each=1, run_id=run, trashed_at=now - DAY)
    with CaptureQueriesContext(connection) as queries:
        notice = show_sweeps(alice, now=now)
    assert len(queries) == 2
    assert notice
    assert notice.todos == each + 50
