"""The calendar: a person's due dates and nothing else, for programs that know its address."""

import re
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import Access, Session, Token, User
from accounts.tokens.services import TokenService
from tests.examples import examples
from tests.factories import new_todo, new_todos, new_token, trash
from tests.todos.locks import in_another_connection
from todos import calendar
from todos.calendar import END, CalendarRow, calendar_of, events, feed_of, head
from todos.models import TrashedTodo
from todos.pages.calendar import ASKS_A_MINUTE
from todos.services import TodoService
from todos.validators import EARLIEST_DUE, LATEST_DUE, MAX_DESCRIPTION, MAX_TITLE

DUE = date(2026, 12, 24)
NOON = datetime(2026, 3, 1, 12, 0, 30, 500_000, tzinfo=UTC)

#: What a line of RFC 5545 may be made of, in UTF-8.
LINE = re.compile(rb"[\t\x20-\x7e\x80-\xff]{1,75}")

#: What could break out of a line, or mean another thing in it.
HOSTILE = [
    *("\r\n", "\n", "\r", "\n ", "\r\n\t", "\0", "\x0b", "\x0c", "\x1b[31m", "\x7f", "\x85"),
    *("\u2028", "\u2029", "\\", "\\n", "\\N", "\\\\N", "\\,", ",", ";", ":", '"', "^n", "%2C"),
    *("END:VEVENT", "\r\nBEGIN:VEVENT\r\nUID:x", "\r\nX-EVIL:1", "\r\n\r\n", "\t", "  "),
    *("🎉", "👩‍👩‍👧", "\u202e", "שלום", "\ufeff", "\u0301", "ß" * 40, "x" * 80),
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]))),
    max_size=8,
).map("".join)


@pytest.fixture
def address(alice: User) -> str:
    """Where programs find Alice's calendar."""
    return address_of(alice)


def address_of(user: User, *, access: Access = Access.CALENDAR) -> str:
    return f"/calendar/{new_token(user, access)}.ics"


def body(client: Client, address: str) -> bytes:
    response = client.get(address)
    assert response.status_code == 200
    return b"".join(response) if response.streaming else response.content


def parsed(content: bytes) -> Any:
    """Return a calendar as a program reads it."""
    return Calendar.from_ical(content)


def test_calendar_in_which_nothing_is_due_has_something_in_it(
    client: Client, alice: User, address: str
) -> None:
    """As RFC 5545 asks, which programs may hold it to."""
    read = parsed(body(client, address))
    assert not read.events
    assert [part.name for part in read.subcomponents] == ["VTIMEZONE"]


def summaries(client: Client, address: str) -> list[str]:
    """Return the titles that a program reads."""
    return [str(one["SUMMARY"]) for one in parsed(body(client, address)).events]


def row(**values: object) -> CalendarRow:
    """Return what the calendar tells of a todo."""
    default = CalendarRow(7, "Buy milk", "", DUE, datetime(2026, 3, 1, tzinfo=UTC), None)
    return default._replace(**values)  # type: ignore[arg-type]


def written(*rows: CalendarRow) -> bytes:
    return head() + events(rows, host="tidy.example") + END


def stored(text: str) -> str:
    """Return a text as a calendar can hold it."""
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "", text)
    return re.sub("\r\n|[\r\x85\u2028\u2029]", "\n", text)


def test_todo_is_all_of_the_day_that_it_is_due_and_blocks_nothing(
    client: Client, alice: User, address: str, settings: Settings
) -> None:
    settings.SITE_URL = "https://tidy.example:8443"
    created = datetime(2026, 3, 1, 12, 0, 5, 999, tzinfo=UTC)
    todo = new_todo(
        alice,
        title="Wrap, and post; presents",
        description="For Bob\nFor Carol",
        due_on=DUE,
        completed_at=None,
        created_at=created,
    )
    read = parsed(body(client, address))
    assert read.calendar_name == read["X-WR-CALNAME"] == "Tidy"
    assert read["VERSION"] == "2.0"
    assert "Tidy" in read["PRODID"]
    assert read["REFRESH-INTERVAL"].dt == timedelta(hours=1)
    assert read["X-PUBLISHED-TTL"] == "PT1H"
    (event,) = read.events
    assert event["UID"] == f"todo-{todo.pk}@tidy.example"
    assert event["SUMMARY"] == "Wrap, and post; presents"
    assert event["DESCRIPTION"] == "For Bob\nFor Carol"
    assert event["DTSTART"].to_ical() == b"20261224"
    assert event["DTSTART"].params == event["DTEND"].params == {"VALUE": "DATE"}
    assert event["DTEND"].dt == date(2026, 12, 25)
    assert event["DTSTAMP"].dt == created.replace(microsecond=0)
    assert event["TRANSP"] == "TRANSPARENT"


@pytest.mark.parametrize("due_on", [EARLIEST_DUE, date(2028, 2, 29), LATEST_DUE])
def test_any_day_that_a_todo_can_be_due_is_one(due_on: date) -> None:
    (event,) = parsed(written(row(due_on=due_on))).events
    assert (event["DTSTART"].dt, event["DTEND"].dt) == (due_on, due_on + timedelta(days=1))


def test_only_open_todos_with_a_day_are_in_it_by_that_day(
    client: Client, alice: User, bob: User, address: str
) -> None:
    new_todo(alice, title="Last", due_on=DUE, completed_at=None)
    new_todo(alice, title="First", due_on=date(2020, 1, 1), completed_at=None)
    new_todo(alice, title="Some day", completed_at=None)
    new_todo(alice, title="Done", due_on=DUE)
    new_todo(bob, title="Bob's", due_on=DUE, completed_at=None)
    assert summaries(client, address) == ["First", "Last"]


def test_calendar_follows_what_happens_to_a_todo(client: Client, alice: User, address: str) -> None:
    todo = new_todo(alice, title="Buy milk", due_on=DUE, completed_at=None)
    (before,) = parsed(body(client, address)).events
    TodoService.complete(user=alice, todo_id=todo.pk)
    assert summaries(client, address) == []
    TodoService.reopen(user=alice, todo_id=todo.pk)
    assert summaries(client, address) == ["Buy milk"]
    TodoService.delete(user=alice, todo_id=todo.pk, by=alice)
    assert summaries(client, address) == []
    TodoService.restore_selected(todos=TrashedTodo.objects.filter(user=alice, pk=todo.pk))
    (after,) = parsed(body(client, address)).events
    assert after["UID"] == before["UID"]
    assert after["DTSTAMP"].dt >= before["DTSTAMP"].dt
    trash(alice, "Another")
    assert summaries(client, address) == ["Buy milk"]


def test_calendar_of_nothing_is_one(client: Client, address: str) -> None:
    read = parsed(body(client, address))
    assert (read.calendar_name, read.events) == ("Tidy", [])


@settings(max_examples=examples(400))
@given(title=TEXTS, description=TEXTS)
def test_any_text_stays_within_its_line_and_is_read_as_it_was_stored(
    title: str, description: str
) -> None:
    lines = written(row(title=title, description=description), row(pk=8)).split(b"\r\n")
    assert lines.pop() == b""
    assert all(LINE.fullmatch(line) for line in lines)
    read = parsed(b"\r\n".join(lines))
    first, second = read.events
    assert first["SUMMARY"] == stored(title)
    assert first.get("DESCRIPTION", "") == stored(description)
    assert {*first} - {"DESCRIPTION"} == {*second}
    assert (first["UID"], second["UID"]) == ("todo-7@tidy.example", "todo-8@tidy.example")
    assert not read.errors
    assert not first.errors


@pytest.mark.parametrize("character", ["x", "ß", "🎉", "\\", "\n", "\x01", "\u202e"])
def test_longest_texts_are_whole(character: str) -> None:
    title, description = character * MAX_TITLE, character * MAX_DESCRIPTION
    (event,) = parsed(written(row(title=title, description=description))).events
    assert event["SUMMARY"] == stored(title)
    assert event.get("DESCRIPTION", "") == stored(description)


def test_a_program_that_ends_lines_at_other_characters_reads_the_same() -> None:
    text = "a\x85BEGIN:VEVENT\u2028b\u2029c\x0bd\x0ce\x1cf\rg"
    whole = written(row(title=text, description=text)).decode()
    assert whole.splitlines() == whole.removesuffix("\r\n").split("\r\n")


@pytest.mark.parametrize("access", [Access.READ, Access.WRITE])
def test_other_tokens_open_no_calendar(client: Client, alice: User, access: Access) -> None:
    new_todo(alice, title="Secret", due_on=DUE, completed_at=None)
    response = client.get(address_of(alice, access=access))
    assert response.status_code == 404
    assert b"Secret" not in response.content
    assert not Token.objects.filter(last_used_at__isnull=False).exists()


def revoke(token: Token) -> None:
    TokenService.revoke(user=token.user, token_id=token.pk)


def expire(token: Token) -> None:
    Token.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def lock_out(token: Token) -> None:
    User.objects.filter(pk=token.user_id).update(is_active=False)


def delete_owner(token: Token) -> None:
    token.user.delete()


@pytest.mark.parametrize("end", [revoke, expire, lock_out, delete_owner])
def test_address_that_was_one_answers_like_one_that_never_was(
    client: Client, alice: User, address: str, end: Callable[[Token], None]
) -> None:
    assert client.get(address).status_code == 200
    end(Token.objects.get())
    gone, never = client.get(address), client.get("/calendar/nonsense.ics")
    assert gone.status_code == never.status_code == 404
    assert gone.content == never.content
    assert gone.headers == {**never.headers, "X-Request-ID": gone.headers["X-Request-ID"]}


@pytest.mark.parametrize(
    "secret",
    [
        *("x", "tidy_", "tidy_12345678_", "TIDY_12345678_" + "x" * 32, "%F0%9F%8E%89", "%ff%fe"),
        *("tidy_12345678_" + "x" * 33, "tidy_1234567٣_" + "x" * 32, "x" * 5_000, "%0d%0aX: y"),
        *("tidy_12345678_" + "x" * 32 + "%0a", "' OR 1=1 --", ".ics", "a.ics", "*"),
    ],
)
def test_text_that_is_no_secret_costs_no_query(
    client: Client,
    db: None,
    django_assert_num_queries: DjangoAssertNumQueries,
    secret: str,
) -> None:
    with django_assert_num_queries(0):
        assert client.get(f"/calendar/{secret}.ics").status_code == 404


def test_secret_that_is_nobodys_costs_one_query(
    client: Client, address: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        wrong = address[: -len("x.ics")] + ("y" if address[-5] == "x" else "x") + ".ics"
        assert client.get(wrong).status_code == 404


@pytest.mark.parametrize("others", ["%00", "tidy_12345678_%00"])
def test_secret_with_a_nul_is_refused_as_on_any_page(client: Client, db: None, others: str) -> None:
    assert client.get(f"/calendar/{others}.ics").status_code == 400


@pytest.mark.parametrize(
    "wrong", ["/calendar/", "/calendar/{}", "/calendar/{}/x.ics", "/calendar/{}.ics/", "/calendar"]
)
def test_there_is_no_other_address(client: Client, address: str, wrong: str) -> None:
    secret = address.removeprefix("/calendar/").removesuffix(".ics")
    assert client.get(wrong.format(secret)).status_code in {301, 404}
    assert client.get(wrong.format(secret), follow=True).status_code == 404


def test_answer_is_for_this_program_alone_and_asks_it_to_look_again(
    client: Client, address: str
) -> None:
    response = client.get(address)
    assert response.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'inline; filename="tidy.ics"'
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert not response.cookies
    assert not Session.objects.exists()


def test_refusals_set_no_cookie_and_are_kept_by_nobody(client: Client, address: str) -> None:
    for response in (client.get("/calendar/x.ics"), client.post(address)):
        assert not response.cookies
        assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', "*"])
def test_program_that_has_it_already_is_not_sent_it_again(
    client: Client, alice: User, address: str, form: str
) -> None:
    todo = new_todo(alice, due_on=DUE, completed_at=None)
    headers = {"if-none-match": form.format(client.get(address).headers["ETag"])}
    again = client.get(address, headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "private, no-cache"
    if form != "*":
        TodoService.edit(
            user=alice, todo_id=todo.pk, title=todo.title, description="New", due_on=DUE
        )
        assert client.get(address, headers=headers).status_code == 200


def test_program_that_takes_it_compressed_is_not_sent_it_again_either(
    client: Client, alice: User, address: str
) -> None:
    new_todos(alice, each=50, due_on=DUE, completed_at=None)
    headers = {"accept-encoding": "gzip"}
    first = client.get(address, headers=headers)
    assert first.headers["Content-Encoding"] == "gzip"
    headers["if-none-match"] = first.headers["ETag"]
    assert client.get(address, headers=headers).status_code == 304


def test_same_todos_are_the_same_bytes_whoever_asks_and_when(
    client: Client, alice: User, address: str
) -> None:
    new_todos(alice, each=3, due_on=DUE, completed_at=None)
    first = client.get(address)
    with time_machine.travel(timezone.now() + timedelta(hours=5)):
        other = client.get(address_of(alice), headers={"accept-language": "de"})
    assert other.content == first.content
    assert other.headers["ETag"] == first.headers["ETag"]


def test_what_is_not_in_it_does_not_change_its_version(
    client: Client, alice: User, bob: User, address: str
) -> None:
    before = client.get(address).headers["ETag"]
    new_todo(alice, completed_at=None)
    new_todo(alice, due_on=DUE)
    new_todo(bob, due_on=DUE, completed_at=None)
    assert client.get(address).headers["ETag"] == before


def test_head_has_the_same_headers_and_no_body(client: Client, alice: User, address: str) -> None:
    new_todo(alice, due_on=DUE, completed_at=None)
    whole, first = client.get(address), client.head(address)
    assert (first.status_code, first.content) == (200, b"")
    changing = {"X-Request-ID": whole.headers["X-Request-ID"]}
    assert {**first.headers, **changing} == {**whole.headers}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_it_is_only_read(address: str, method: str) -> None:
    response = Client(enforce_csrf_checks=True).generic(method, address)
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"


def test_three_queries_at_most_however_many_todos(
    client: Client,
    alice: User,
    address: str,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    new_todos(alice, each=1_000, due_on=DUE, completed_at=None)
    with django_assert_max_num_queries(3):
        etag = client.get(address).headers["ETag"]
    with django_assert_num_queries(2):  # Its use was noted a moment ago.
        assert client.get(address, headers={"if-none-match": etag}).status_code == 304


def test_only_what_it_tells_is_read(client: Client, alice: User, address: str) -> None:
    new_todo(alice, due_on=DUE, completed_at=None)
    with CaptureQueriesContext(connection) as queries:
        body(client, address)
    (statement,) = [one["sql"] for one in queries if 'FROM "todos_todo"' in one["sql"]]
    columns = statement.partition(" FROM ")[0]
    assert "description" in columns
    assert "completed" not in columns
    assert "user_id" not in columns


def test_use_is_noted(client: Client, address: str) -> None:
    assert Token.objects.get().last_used_at is None
    client.get(address)
    used = Token.objects.get().last_used_at
    assert used is not None
    assert timezone.now() - used < timedelta(minutes=1)


@time_machine.travel(NOON, tick=False)
def test_who_asks_very_often_is_told_when_to_ask_again(
    client: Client, alice: User, address: str
) -> None:
    for _ in range(ASKS_A_MINUTE):
        assert client.head(address).status_code == 200
    refused = client.get(address)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert "no-store" in refused.headers["Cache-Control"]
    assert client.get(address_of(alice)).status_code == 200
    with time_machine.travel(NOON + timedelta(seconds=30), tick=False):
        assert client.get(address).status_code == 200


def test_long_calendar_is_streamed_and_is_the_same(
    client: Client, alice: User, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_todos(alice, each=1_000, due_on=DUE, completed_at=None, description="x" * 100)
    kept = client.get(address)
    monkeypatch.setattr(calendar, "MOST_KEPT_BYTES", 50_000)
    response = client.get(address)
    assert response.streaming
    assert response.headers["Content-Type"] == kept.headers["Content-Type"]
    assert b"".join(response) == kept.content
    etag = response.headers["ETag"]
    assert client.get(address, headers={"if-none-match": etag}).status_code == 304
    assert client.head(address).status_code == 200
    last = parsed(kept.content).events[-1]
    pk = int(re.findall(r"todo-(\d+)@", last["UID"])[0])
    TodoService.edit(user=alice, todo_id=pk, title="New", description="", due_on=DUE)
    assert client.get(address, headers={"if-none-match": etag}).status_code == 200


@pytest.mark.parametrize("write", ["feed", "calendar"])
def test_memory_does_not_grow_with_the_list(
    alice: User, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    monkeypatch.setattr(calendar, "MOST_KEPT_BYTES", 50_000)
    new_todos(alice, each=600, due_on=DUE, completed_at=None, description="x" * 200)
    few = peak(alice, write)
    new_todos(alice, each=2_400, due_on=DUE, completed_at=None, description="x" * 200)
    assert peak(alice, write) < 1.5 * few


def peak(user: User, write: str) -> int:
    """Return how many bytes are in use at most while a calendar is written."""
    tracemalloc.start()
    try:
        if write == "feed":
            assert feed_of(user, host="x").content is None
        else:
            assert sum(map(len, calendar_of(user, host="x"))) > 100_000
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.django_db(transaction=True)
def test_programs_that_ask_at_once_get_the_same(alice: User, address: str) -> None:
    new_todos(alice, each=300, due_on=DUE, completed_at=None)

    def ask() -> bytes:
        return in_another_connection(lambda: body(Client(), address))

    with ThreadPoolExecutor(2) as pool:
        answers = [asked.result(timeout=60) for asked in [pool.submit(ask) for _ in range(6)]]
    assert len({*answers}) == 1
    assert len(parsed(answers[0]).events) == 300
