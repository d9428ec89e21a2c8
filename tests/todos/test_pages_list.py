"""A person's list as they see it: what is on it, and what its buttons do."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection
from django.db.models import Value
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from tests.factories import new_todo, new_todos, trash
from todos import limits, services
from todos.models import IdempotencyKey, Todo, TrashedTodo
from todos.pages.paging import PAGE_SIZE
from todos.pages.todo_list import COMPLETED_SHOWN
from todos.services import TodoService

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
HOSTILE = "<script>alert(1)</script>\"'></li>\u202e{{ 7 }}{% 7 %}"

#: A moment of a Monday morning.
MORNING = datetime(2026, 11, 30, 8, tzinfo=UTC)

#: What no form of ours sends as the id of a todo.
MALFORMED = ("", " ", "x", "-1", "1.5", "٣", str(2**63), "9" * 5000, "None")

VERBS = ("complete", "reopen", "delete", "set_due")


def at_two(after: datetime) -> datetime | None:
    """A cleanup daily at 02:00 UTC."""
    slot = after.astimezone(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    return slot if slot > after else slot + DAY


@pytest.fixture(autouse=True)
def _at_two(settings: Settings) -> None:
    settings.TODO_NEXT_CLEANUP = f"{__name__}.at_two"


@pytest.fixture(autouse=True)
def _nothing_is_remembered(settings: Settings) -> Iterator[None]:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def hers(client: Client, alice: User) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


def plain(html: str) -> str:
    """Return what a reader sees, on one line."""
    text = unescape(re.sub(r"<[^>]*>", " ", html))
    return " ".join(text.translate({0x2068: None, 0x2069: None}).split())


def see(client: Client, path: str = "/") -> str:
    """Open a page; return what a reader sees of it."""
    response = client.get(path)
    assert response.status_code == 200
    return plain(response.content.decode().partition("<main")[2])


def rows(client: Client, path: str = "/") -> list[str]:
    """Return the rows of a page's lists."""
    page = client.get(path).content.decode()
    return [plain(row) for row in re.findall(r'<li class="row".*?</li>', page, re.DOTALL)]


def titles(client: Client, path: str = "/") -> list[str]:
    page = client.get(path).content.decode()
    return [unescape(title) for title in re.findall(r"<bdi>(.*?)</bdi>", page)]


def ids_on(page: str) -> list[int]:
    return [int(pk) for pk in re.findall(r'id="todo-(\d+)"', page)]


def link(page: str, way: str) -> str | None:
    """Return where the link to the next or the previous page leads."""
    found = re.search(rf'rel="{way}" href="([^"]*)"', page)
    return unescape(found[1]) if found else None


def press(client: Client, verb: str, **fields: Any) -> str:
    """Send a form; return the notice that the next page shows."""
    response = client.post(reverse(f"todos:{verb}"), fields)
    assert response.status_code == 302, response.content
    return notice(client.get(response.headers["Location"]).content.decode())


def notice(page: str) -> str:
    (text,) = re.findall(r'<div class="notice[^"]*">(.*?)</div>\s*</div>', page, re.DOTALL)
    return plain(text)


def press_offer(client: Client, label: str, verb: str, **fields: Any) -> str:
    """Send a form, then press a button of its notice; return the next notice."""
    response = client.post(reverse(f"todos:{verb}"), fields, follow=True)
    page = response.content.decode()
    offers = re.findall(r'<form[^>]* method="post" action="([^"]*)">(.*?)</form>', page, re.DOTALL)
    (offer,) = [offer for offer in offers if label in plain(offer[1])]
    hidden = re.findall(r'name="([^"]*)" value="([^"]*)"', offer[1])
    answer = client.post(offer[0], {name: unescape(value) for name, value in hidden}, follow=True)
    return notice(answer.content.decode())


def statements(queries: CaptureQueriesContext) -> list[str]:
    """Return what was asked of the database, without the bounds of transactions."""
    bounds = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    return [query["sql"] for query in queries if not query["sql"].startswith(bounds)]


# What is there.


@time_machine.travel(MORNING, tick=False)
def test_open_todos_stand_by_their_dates_and_then_the_newest_first(
    hers: Client, alice: User, bob: User
) -> None:
    today = timezone.localdate()
    for title, days in (
        *(("First", None), ("Later", 40), ("Late", -3), ("Next", 1), ("Now", 0)),
        ("Last", None),
    ):
        due_on = None if days is None else today + days * DAY
        TodoService.create(user=alice, title=title, due_on=due_on)
    new_todo(bob, title="His own", completed_at=None)

    assert rows(hers) == [
        "Late 3 days overdue",
        "Now due today",
        "Next due tomorrow",
        "Later due Sat 9 January 2027",
        "Last",
        "First",
    ]


@time_machine.travel(MORNING, tick=False)
def test_today_is_that_of_the_persons_time_zone(hers: Client, alice: User) -> None:
    TodoService.create(user=alice, title="Now", due_on=date(2026, 11, 30))
    User.objects.filter(pk=alice.pk).update(time_zone="Pacific/Kiritimati")
    with time_machine.travel(MORNING + timedelta(hours=12)):
        assert rows(hers) == ["Now 1 day overdue"]


@time_machine.travel(MORNING, tick=False)
def test_completed_todos_say_when_they_leave_the_newest_first(hers: Client, alice: User) -> None:
    new_todo(alice, title="Older", completed_at=timezone.now() - DAY)
    new_todo(alice, title="Newer", completed_at=timezone.now())

    assert rows(hers) == ["Newer leaves tonight", "Older leaves tonight"]
    User.objects.filter(pk=alice.pk).update(keep_completed_days=7)
    assert rows(hers)[1] == "Older leaves in 6 days"
    User.objects.filter(pk=alice.pk).update(auto_cleanup=False)
    assert rows(hers)[1] == "Older stays: you switched cleaning off"


def test_list_has_the_newest_completed_ones_and_a_page_has_all(hers: Client, alice: User) -> None:
    new_todos(alice, each=COMPLETED_SHOWN + 1)

    assert len(rows(hers)) == COMPLETED_SHOWN
    assert f"Clear {COMPLETED_SHOWN + 1} completed" in see(hers)
    assert "All that is completed" in see(hers)
    assert len(rows(hers, "/completed/")) == COMPLETED_SHOWN + 1


def test_an_empty_list_explains_itself(hers: Client, alice: User, settings: Settings) -> None:
    assert "Nothing to do. Write what is to be done into the field above" in see(hers)
    assert "It waits in the trash for 30 days" in see(hers)
    settings.TODO_TRASH_DAYS = 0
    assert "trash for" not in see(hers)
    new_todo(alice)
    assert "All done." in see(hers)


def test_somebody_who_is_not_logged_in_sees_what_tidy_is(
    client: Client, settings: Settings, db: None
) -> None:
    assert "cleans up after itself" in see(client)
    assert "Sign up" in see(client)
    settings.ACCOUNTS_SIGN_UP = False
    assert "Sign up" not in see(client)


def test_a_description_is_shown_in_part(hers: Client, alice: User) -> None:
    TodoService.create(user=alice, title="Read", description="x" * 1000)
    assert rows(hers) == ["Read " + "x" * 200]


def test_hostile_text_is_shown_as_it_is(hers: Client, alice: User) -> None:
    press(hers, "add", title=HOSTILE)
    TodoService.create(user=alice, title="x", description=HOSTILE)

    page = hers.get("/").content.decode()
    assert titles(hers) == ["x", HOSTILE]
    assert "<script>alert" not in page
    assert "{{ 7 }}{% 7 %}" in page


def test_a_title_in_a_notice_turns_nothing_around(hers: Client) -> None:
    hers.post(reverse("todos:add"), {"title": "a\u2069\u202eb"})
    page = hers.get("/").content.decode().partition("</main")[0]
    assert "Added “\u2068ab\u2069”." in page


# Adding.


def test_a_todo_is_added_and_undone(hers: Client, alice: User) -> None:
    assert press(hers, "add", title=" Buy\n milk ") == "Added “Buy milk”. Undo"
    assert titles(hers) == ["Buy milk"]

    assert press_offer(hers, "Undo", "add", title="Buy bread").startswith("Deleted “Buy bread”.")
    assert titles(hers) == ["Buy milk"]


@time_machine.travel(MORNING, tick=False)
def test_due_date_in_words_is_offered_and_not_forced(hers: Client, alice: User) -> None:
    told = press(hers, "add", title="Buy milk tomorrow")
    assert told == "Added “Buy milk tomorrow”. Due Tue 1 December, as “Buy milk” Undo"
    assert titles(hers) == ["Buy milk tomorrow"]

    told = press_offer(hers, "as “Buy bread”", "add", title="Buy bread tomorrow")
    assert told == "“Buy bread” is due Tue 1 December."
    assert titles(hers) == ["Buy bread", "Buy milk tomorrow"]
    assert rows(hers)[0] == "Buy bread due tomorrow"


@time_machine.travel(MORNING, tick=False)
def test_row_of_a_new_todo_offers_its_due_date_for_a_day(hers: Client, alice: User) -> None:
    for title in ("Buy milk on Friday", "Buy bread today"):
        new_todo(alice, title=title, completed_at=None, created_at=timezone.now())
    assert rows(hers) == [
        "Buy bread today Due Mon 30 November?",
        "Buy milk on Friday Due Fri 4 December?",
    ]
    told = press_offer(hers, "Due Fri 4 December?", "add", title="Think")
    assert told == "“Buy milk” is due Fri 4 December."
    assert rows(hers, "/search/?q=buy") == [
        "Buy milk due Fri 4 December",
        "Buy bread today Due Mon 30 November?",
    ]


def test_row_offers_no_date_that_is_past_or_of_an_old_todo(hers: Client, alice: User) -> None:
    with time_machine.travel(MORNING, tick=False) as clock:
        now = timezone.now()
        new_todo(alice, title="Buy milk today", completed_at=None, created_at=now)
        new_todo(alice, title="Call tomorrow", completed_at=None, created_at=now)
        clock.shift(timedelta(hours=20))
        assert rows(hers) == ["Call tomorrow Due Tue 1 December?", "Buy milk today"]
        clock.shift(timedelta(hours=5))
        assert rows(hers) == ["Call tomorrow", "Buy milk today"]


@time_machine.travel(MORNING, tick=False)
def test_a_new_title_has_its_offer_too(hers: Client, alice: User) -> None:
    todo = new_todo(alice, title="Buy milk", completed_at=None, created_at=timezone.now())
    TodoService.edit(user=alice, todo_id=todo.pk, title="Buy milk on Friday")
    assert rows(hers) == ["Buy milk on Friday Due Fri 4 December?"]


@time_machine.travel(MORNING + timedelta(hours=12), tick=False)
def test_due_date_is_offered_in_the_persons_language_and_time_zone(
    hers: Client, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(language="de", time_zone="Pacific/Kiritimati")
    # It is the first of December there.
    press_offer(hers, "Milch kaufen", "add", title="Milch kaufen morgen")
    assert Todo.objects.get().due_on == date(2026, 12, 2)
    assert Todo.objects.get().title == "Milch kaufen"
    told = press_offer(hers, "Oma anrufen", "add", title="Oma am Sonntag anrufen")
    assert "Oma anrufen" in told
    assert titles(hers)[-1] == "Oma anrufen"


def test_a_title_edited_meanwhile_keeps_its_words(hers: Client, alice: User) -> None:
    todo = TodoService.create(user=alice, title="Buy bread")
    press(hers, "set_due", id=todo.pk, due_on="2026-12-01", words="tomorrow")
    todo.refresh_from_db()
    assert (todo.title, todo.due_on) == ("Buy bread", date(2026, 12, 1))


def test_an_offer_does_not_replace_a_date_that_was_set_meanwhile(hers: Client, alice: User) -> None:
    todo = TodoService.create(user=alice, title="Buy milk tomorrow", due_on=date(2026, 12, 24))
    told = press(hers, "set_due", id=todo.pk, due_on="2026-12-01", words="tomorrow")
    assert told == "“Buy milk tomorrow” has been edited meanwhile: nothing was changed."
    todo.refresh_from_db()
    assert (todo.title, todo.due_on) == ("Buy milk tomorrow", date(2026, 12, 24))


def test_forms_on_a_page_that_refuses_lead_back_to_the_list(hers: Client, alice: User) -> None:
    new_todo(alice, completed_at=None)
    refused = hers.post(reverse("todos:add"), {"title": "x" * 201, "next": "/?after=_9"})
    assert refused.status_code == 422
    content = unescape(refused.content.decode())
    assert 'name="next" value="/todos/add/"' not in content
    assert 'name="next" value="/?after=_9"' in content


@pytest.mark.parametrize("due_on", ["", "x", "2026-02-30", "0001-01-01", "9999-12-31", "9" * 999])
def test_a_due_date_that_nobody_offers_changes_nothing(
    hers: Client, alice: User, due_on: str
) -> None:
    todo = TodoService.create(user=alice, title="Buy milk tomorrow")
    fields = {"id": todo.pk, "due_on": due_on, "words": "tomorrow"}
    assert hers.post(reverse("todos:set_due"), fields).status_code == 404
    todo.refresh_from_db()
    assert (todo.title, todo.due_on) == ("Buy milk tomorrow", None)


def test_the_same_form_sent_twice_adds_one_todo(hers: Client) -> None:
    for title in ("Buy milk", "Buy milk", "Buy bread", "Buy milk"):
        assert press(hers, "add", title=title, key="one form") == f"Added “{title}”. Undo"
    assert titles(hers) == ["Buy bread", "Buy milk"]
    press(hers, "add", title="Buy milk", key="another form")
    assert titles(hers) == ["Buy milk", "Buy bread", "Buy milk"]


def test_the_same_form_sent_again_after_a_deletion_says_where_it_is(
    hers: Client, alice: User
) -> None:
    press(hers, "add", title="Buy milk", key="a form")
    press(hers, "delete", id=Todo.objects.get().pk)
    told = press(hers, "add", title="Buy milk", key="a form")
    assert told == "“Buy milk” is not on your list any more: it is in the trash. Restore"
    assert not Todo.objects.exists()


def test_keys_of_two_people_have_nothing_to_do_with_each_other(hers: Client, bob: User) -> None:
    TodoService.create_once(user=bob, key="a form", title="Buy milk")
    press(hers, "add", title="Buy milk", key="a form")
    assert IdempotencyKey.objects.count() == 2
    assert titles(hers) == ["Buy milk"]


@pytest.mark.parametrize(
    ("title", "why"),
    [
        ("", "A todo needs a title."),
        ("  ", "A todo needs a title."),
        ("x" * 231, "A title has at most 200 characters; this one has 231. Put the rest"),
        ("Buy\0milk", "Null characters are not allowed."),
    ],
)
def test_a_refused_title_says_why_and_is_kept(hers: Client, title: str, why: str) -> None:
    response = hers.post(reverse("todos:add"), {"title": title})
    assert response.status_code == 422
    page = response.content.decode()
    assert why in plain(page)
    assert f'name="title" value="{title}"' in page
    assert not Todo.objects.exists()

    script = hers.post(reverse("todos:add"), {"title": title}, headers={"HX-Request": "true"})
    assert script.status_code == 422
    assert script.headers["Content-Type"] == "text/plain"
    assert why in script.content.decode()


def test_half_a_character_is_not_stored(hers: Client, alice: User) -> None:
    body = "title=Buy%ED%A0%80milk"
    hers.post(reverse("todos:add"), body, content_type="application/x-www-form-urlencoded")
    assert "\ufffd" in titles(hers)[0]


def test_a_form_of_ten_megabytes_is_refused(hers: Client) -> None:
    assert hers.post(reverse("todos:add"), {"title": "x" * 10_000_000}).status_code in {400, 413}
    assert not Todo.objects.exists()


def test_a_full_list_takes_no_more(
    hers: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MAX_TODOS", 2)
    new_todos(alice, each=1)
    press(hers, "add", title="Buy milk")
    response = hers.post(reverse("todos:add"), {"title": "Buy bread"})
    assert response.status_code == 422
    assert "a list holds no more. Delete some first." in plain(response.content.decode())
    assert "Buy bread" in response.content.decode()
    assert Todo.objects.count() == 2


def test_whoever_adds_very_many_has_to_wait_and_loses_nothing(
    hers: Client, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ADDS_A_MINUTE", 2)
    with time_machine.travel(MORNING, tick=False) as clock:
        press(hers, "add", title="One")
        press(hers, "add", title="Two")
        response = hers.post(reverse("todos:add"), {"title": "Three"})
        assert response.status_code == 429
        assert response.headers["Retry-After"] == "60"
        assert "Wait a minute" in plain(response.content.decode())
        assert 'value="Three"' in response.content.decode()

        clock.shift(timedelta(minutes=1))
        press(hers, "add", title="Three")
    assert titles(hers) == ["Three", "Two", "One"]


# Checking off, reopening, deleting, clearing.


@time_machine.travel(MORNING, tick=False)
def test_a_todo_is_completed_and_reopened(
    hers: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The database's clock does not travel.
    monkeypatch.setattr(services, "CurrentTime", lambda: Value(timezone.now()))
    todo = new_todo(alice, title="Buy milk", completed_at=None)

    told = press(hers, "complete", id=todo.pk)
    assert told == "Completed “Buy milk”. It leaves tonight. Undo"
    assert rows(hers) == ["Buy milk leaves tonight"]
    assert press(hers, "reopen", id=todo.pk) == "“Buy milk” is open again. Undo"
    assert rows(hers) == ["Buy milk"]
    assert press_offer(hers, "Undo", "complete", id=todo.pk).startswith("“Buy milk” is open again")


def test_completing_twice_keeps_the_first_time(hers: Client, alice: User) -> None:
    todo = new_todo(alice, completed_at=None)
    press(hers, "complete", id=todo.pk)
    first = Todo.objects.get().completed_at
    press(hers, "complete", id=todo.pk)
    assert Todo.objects.get().completed_at == first


def test_a_todo_is_deleted_and_brought_back(hers: Client, alice: User) -> None:
    todo = new_todo(alice, title="Buy milk", completed_at=None)

    assert press(hers, "delete", id=todo.pk) == "Deleted “Buy milk”. Undo"
    assert not titles(hers)
    assert TrashedTodo.objects.get().trashed_by == alice
    Todo.objects.all().delete()
    todo = new_todo(alice, title="Buy bread", completed_at=None)
    told = press_offer(hers, "Undo", "delete", id=todo.pk)
    assert told == "“Buy bread” is on your list again."


def test_clearing_and_its_undo_move_exactly_those(hers: Client, alice: User, bob: User) -> None:
    new_todos(alice, each=3, title="Done")
    new_todo(alice, title="Open", completed_at=None)
    new_todo(bob, title="His own")
    trash(alice, "Deleted before")

    told = press_offer(hers, "Undo", "clear")
    assert "Brought back 3 todos." in told
    assert sorted(titles(hers)) == ["Done", "Done", "Done", "Open"]
    assert press(hers, "clear") == "Cleared 3 completed todos. Undo"
    assert titles(hers) == ["Open"]
    assert press(hers, "clear") == "Cleared 0 completed todos."
    assert Todo.objects.filter(user=bob).count() == 1


def test_what_is_gone_says_where_it_is(hers: Client, alice: User) -> None:
    (pk,) = trash(alice, "Buy milk")
    for verb in VERBS:
        told = press(hers, verb, id=pk)
        assert told == "“Buy milk” is not on your list any more: it is in the trash. Restore"
    response = hers.get(reverse("todos:edit", args=[pk]), follow=True)
    assert "it is in the trash" in response.content.decode()
    told = press_offer(hers, "Restore", "complete", id=pk)
    assert told == "“Buy milk” is on your list again."


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_somebody_elses_or_nowhere_is_not_found(hers: Client, bob: User, verb: str) -> None:
    his = new_todo(bob, title="His own", completed_at=None)
    (trashed,) = trash(bob, "His trash")
    for wrong in (his.pk, trashed, 2**40, *MALFORMED):
        fields = {"id": wrong, "due_on": "2026-12-01"}
        assert hers.post(reverse(f"todos:{verb}"), fields).status_code == 404, wrong
    his.refresh_from_db()
    assert (his.title, his.completed_at, his.due_on) == ("His own", None, None)


@pytest.mark.parametrize("pk", [2**40, 2**63, "9" * 5000])
def test_a_form_of_a_todo_that_there_is_not_is_not_found(hers: Client, pk: int | str) -> None:
    for method in (hers.get, hers.post):
        assert method(f"/todos/{pk}/edit/").status_code == 404


def test_without_a_trash_deleting_asks_first(hers: Client, alice: User, settings: Settings) -> None:
    settings.TODO_TRASH_DAYS = 0
    todo = new_todo(alice, title="Buy milk")

    asked = hers.post(reverse("todos:delete"), {"id": todo.pk})
    assert "Delete “Buy milk” for good?" in plain(asked.content.decode())
    asked = hers.post(reverse("todos:clear"))
    assert "Delete all completed todos for good?" in plain(asked.content.decode())
    assert Todo.objects.exists()
    assert press(hers, "delete", id=todo.pk, sure="1") == "Deleted “Buy milk”."
    new_todo(alice)
    assert press(hers, "clear", sure="1") == "Cleared 1 completed todo."


# Pages.


def test_pages_show_each_todo_once_forwards_and_back(hers: Client, alice: User) -> None:
    today = timezone.localdate()
    new_todos(alice, each=PAGE_SIZE, completed_at=None)
    for due_on in (today, today + DAY):
        new_todos(alice, each=PAGE_SIZE, completed_at=None, due_on=due_on)
    order = sorted(Todo.objects.all(), key=lambda todo: (todo.due_on or date.max, -todo.pk))

    way: str | None = ""
    passed: list[list[int]] = []
    while way is not None:
        page = hers.get(f"/{way}").content.decode()
        passed.append(ids_on(page))
        assert len(passed[-1]) == PAGE_SIZE
        way = link(page, "next")
    assert [pk for ids in passed for pk in ids] == [todo.pk for todo in order]

    while (way := link(page, "prev")) is not None:
        passed.pop()
        page = hers.get(f"/{way}").content.decode()
        assert ids_on(page) == passed[-1]
    assert len(passed) == 1


def test_completed_todos_have_pages_even_if_completed_at_once(hers: Client, alice: User) -> None:
    new_todos(alice, each=2 * PAGE_SIZE + 1)
    way: str | None = ""
    seen: list[int] = []
    while way is not None:
        page = hers.get(f"/completed/{way}").content.decode()
        seen += ids_on(page)
        way = link(page, "next")
    assert seen == list(Todo.objects.order_by("-pk").values_list("pk", flat=True))


def test_a_page_whose_todos_have_left_shows_the_first(hers: Client, alice: User) -> None:
    todo = new_todo(alice, title="Buy milk", completed_at=None)
    assert titles(hers, f"/?after=_{todo.pk}") == ["Buy milk"]
    assert titles(hers, f"/?before=_{todo.pk}") == ["Buy milk"]


@pytest.mark.parametrize(
    "place", ["x", "_", "_x", "2026-02-30_1", "_-1", f"_{2**63}", "2026-12-01", "٣_٣", "_" * 99]
)
def test_a_place_that_no_page_names_is_not_found(hers: Client, place: str) -> None:
    for way in ("after", "before"):
        assert hers.get("/", {way: place}).status_code == 404
        assert hers.get("/completed/", {way: place}).status_code == 404


# What it costs.


@pytest.mark.parametrize("each", [10, 10_000])
def test_a_visit_takes_six_queries_at_most_whatever_the_size(
    hers: Client, alice: User, settings: Settings, each: int
) -> None:
    new_todos(alice, each=each, completed_at=None)
    new_todos(alice, each=each)
    settings.TODO_NEXT_CLEANUP = "tasks.next_cleanup.next_cleanup"
    place = f"_{Todo.objects.order_by('pk')[each // 2].pk}"
    for path in ("/", f"/?after={place}", f"/?before={place}", "/completed/", "/search/?q=todo"):
        trash(alice, "Swept", run_id=7)
        with CaptureQueriesContext(connection) as queries:
            assert hers.get(path).status_code == 200
        assert len(statements(queries)) <= 6, (path, statements(queries))


def test_each_button_takes_six_queries_at_most(hers: Client, alice: User) -> None:
    todos = new_todos(alice, each=5, completed_at=None)
    pk = todos[0].pk
    for verb, fields in (
        ("add", {"title": "Buy milk tomorrow", "key": "x"}),
        ("complete", {"id": pk}),
        ("reopen", {"id": pk}),
        ("set_due", {"id": pk, "due_on": "2026-12-01", "words": "x"}),
        ("delete", {"id": pk}),
        ("delete", {"id": pk}),
        ("clear", {}),
    ):
        with CaptureQueriesContext(connection) as queries:
            assert hers.post(reverse(f"todos:{verb}"), fields).status_code == 302
        assert len(statements(queries)) <= 6, (verb, statements(queries))


# With a script, and without being logged in.


def test_a_script_gets_the_inside_of_the_page_with_its_notice(hers: Client) -> None:
    hers.post(reverse("todos:add"), {"title": "Buy milk"})
    response = hers.get("/", headers={"HX-Request": "true"})
    page = response.content.decode()
    assert "<html" not in page
    assert notice(page) == "Added “Buy milk”. Undo"
    assert response.headers["HX-Retarget"] == "#main"
    assert "HX-Request" in response.headers["Vary"]
    assert "no-store" in response.headers["Cache-Control"]


def test_whoever_is_not_logged_in_comes_back_to_the_page_of_the_form(client: Client) -> None:
    response = client.post(reverse("todos:complete"), {"id": 1, "next": "/search/?q=milk"})
    assert response.status_code == 302
    login = f"{reverse('account_login')}?next=/search/%3Fq%3Dmilk"
    assert response.headers["Location"] == login
    page = client.get("/search/?q=milk")
    assert page.headers["Location"] == login

    script = client.post(
        reverse("todos:complete"), {"id": 1, "next": "/"}, headers={"HX-Request": "true"}
    )
    assert script.headers["HX-Redirect"] == f"{reverse('account_login')}?next=/"


def test_a_form_leads_to_no_other_site(hers: Client) -> None:
    for elsewhere in ("https://example.com/", "//example.com", "javascript:alert(1)", "x" * 9999):
        response = hers.post(reverse("todos:add"), {"title": "Buy milk", "next": elsewhere})
        assert not response.headers["Location"].startswith(("https:", "//", "javascript:"))


def test_buttons_answer_forms_alone_and_want_the_token(hers: Client, alice: User) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(alice)
    for verb in ("add", "clear", *VERBS):
        assert hers.get(reverse(f"todos:{verb}")).status_code == 405
        assert careful.post(reverse(f"todos:{verb}"), {"title": "x"}).status_code == 403


def test_shortcuts_have_a_page(hers: Client) -> None:
    assert "add a todo" in see(hers, "/shortcuts/")
