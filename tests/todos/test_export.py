"""The export: everything of a person and nothing of others, whatever its size."""

import csv
import json
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Access, Preferences, Token, User
from accounts.tokens.services import TokenService
from tests.factories import AS_OF, LONG_AGO, new_todo, new_todos, new_trash, trash
from tests.todos.locks import in_another_connection
from todos.export import CHUNK_TODOS, csv_of, json_of
from todos.models import Receipt, Todo, TrashedTodo
from todos.services import TodoService

JSON, CSV = "/export.json", "/export.csv"

#: Of a todo on the list and of one in the trash.
KEYS = [
    *("id", "title", "description", "due_on", "created_at", "completed_at", "restored_at"),
    *("trashed_at", "swept"),
]


@pytest.fixture
def page(client: Client, alice: User) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


def exported(client: Client) -> dict[str, Any]:
    response = client.get(JSON)
    return dict(json.loads(response.getvalue()))


def cells(client: Client) -> list[dict[str, str]]:
    """Read the CSV as a spreadsheet does."""
    text = client.get(CSV).getvalue().decode("utf-8-sig")
    return list(csv.DictReader(StringIO(text, newline="")))


def test_everything_of_a_person_is_in_the_json(page: Client, alice: User, bob: User) -> None:
    EmailAddress.objects.create(user=alice, email="a@example.com", primary=True, verified=True)
    User.objects.filter(pk=alice.pk).update(theme="dark", keep_completed_days=7)
    todo = new_todo(alice, title="Straße <b>", description="a\nb", due_on=date(2026, 3, 1))
    (gone,) = trash(alice, "Gone", run_id=5, trashed_at=AS_OF)
    new_todo(bob, title="Bob's")
    trash(bob, "Bob's")

    content = exported(page)

    assert content["account"] == {
        "username": "alice",
        "first_name": "",
        "last_name": "",
        "email": "",
        "email_addresses": [{"email": "a@example.com", "verified": True, "primary": True}],
        "second_factors": [],
        "joined_at": alice.date_joined.isoformat(),
        "last_login_at": User.objects.get(pk=alice.pk).last_login.isoformat(),  # type: ignore[union-attr]  # She is logged in.
    }
    assert content["preferences"].keys() == Preferences.__annotations__.keys()
    assert content["preferences"]["keep_completed_days"] == 7
    assert content["preferences"]["theme"] == "dark"
    (kept,) = content["todos"]
    assert list(kept) == KEYS
    assert kept["title"] == "Straße <b>"
    assert kept["description"] == "a\nb"
    assert kept["due_on"] == "2026-03-01"
    assert kept["completed_at"] == "2025-11-21T02:00:00+00:00"
    assert (kept["id"], kept["trashed_at"], kept["swept"]) == (todo.pk, None, False)
    (left,) = content["trash"]
    assert list(left) == KEYS
    assert (left["id"], left["title"], left["swept"]) == (gone, "Gone", True)
    assert left["trashed_at"] == "2026-03-01T02:00:00+00:00"
    assert datetime.fromisoformat(content["exported_at"]).tzinfo == UTC


def test_json_says_where_they_log_in_by_what_and_of_what_they_were_told(
    page: Client, alice: User, bob: User
) -> None:
    for user in (alice, bob):
        details = {"ip": "192.0.2.1", "user_agent": f"Browser of {user}"}
        UserSession.objects.create(user=user, session_key=user.username, **details)
        Authenticator.objects.create(
            user=user,
            type=Authenticator.Type.WEBAUTHN,
            data={"name": f"Key of {user}", "credential": "secret"},
        )
        Receipt.objects.create(
            user=user, night=AS_OF.date(), since=LONG_AGO, until=AS_OF, todos=user.pk
        )
    Authenticator.objects.create(user=alice, type=Authenticator.Type.TOTP, data={"secret": "s"})

    content = exported(page)

    factors = content["account"]["second_factors"]
    named = [(factor["type"], factor["name"]) for factor in factors]
    assert named == [("webauthn", "Key of alice"), ("totp", "")]
    assert list(factors[0]) == ["type", "name", "created_at", "last_used_at"]
    assert content["sessions"] == [
        {
            "created_at": UserSession.objects.get(user=alice).created_at.isoformat(),
            "last_seen_at": UserSession.objects.get(user=alice).last_seen_at.isoformat(),
            "ip": "192.0.2.1",
            "user_agent": "Browser of alice",
        }
    ]
    assert content["receipts"] == [
        {
            "night": "2026-03-01",
            "since": LONG_AGO.isoformat(),
            "until": AS_OF.isoformat(),
            "todos": alice.pk,
            "state": "waiting",
            "sent_at": None,
        }
    ]


def test_json_has_their_tokens_without_what_would_let_in(
    page: Client, alice: User, bob: User
) -> None:
    until = timezone.now() + timedelta(days=30)
    made = TokenService.create(user=alice, name="Script", access=Access.WRITE, expires_at=until)
    TokenService.create(user=bob, name="Bob's", access=Access.READ)
    Token.objects.filter(user=alice).update(last_used_at=AS_OF)

    content = exported(page)

    assert content["tokens"] == [
        {
            "name": "Script",
            "access": "write",
            "prefix": made.token.prefix,
            "created_at": Token.objects.get(user=alice).created_at.isoformat(),
            "expires_at": until.isoformat(),
            "last_used_at": AS_OF.isoformat(),
        }
    ]
    assert made.token.digest not in str(content)
    assert made.secret not in str(content)


@pytest.mark.parametrize(("on_list", "in_trash"), [(0, 0), (1, 0), (0, 1), (2, 3)])
def test_json_is_valid_whatever_there_is(
    page: Client, alice: User, on_list: int, in_trash: int
) -> None:
    new_todos(alice, each=on_list)
    new_trash(alice, each=in_trash, trashed_at=AS_OF)
    content = exported(page)
    assert (len(content["todos"]), len(content["trash"])) == (on_list, in_trash)
    assert list(content) == [
        *("format", "version", "exported_at", "account", "preferences", "sessions", "tokens"),
        *("receipts", "todos", "trash"),
    ]


def test_csv_has_the_list_and_then_the_trash(page: Client, alice: User) -> None:
    new_todo(alice, title="Müll", description='with "quotes",\r\nlines; and commas')
    trash(alice, "Gone", trashed_at=AS_OF)

    kept, left = cells(page)

    assert list(kept) == ["in_trash", *KEYS]
    assert kept["title"] == "Müll"
    assert kept["description"] == 'with "quotes",\r\nlines; and commas'
    assert (kept["in_trash"], kept["due_on"], kept["swept"]) == ("False", "", "False")
    assert kept["completed_at"] == LONG_AGO.isoformat()
    assert (left["in_trash"], left["trashed_at"]) == ("True", AS_OF.isoformat())


def test_csv_of_nothing_has_its_header(page: Client) -> None:
    assert cells(page) == []
    header = "in_trash," + ",".join(KEYS) + "\r\n"
    assert page.get(CSV).getvalue() == f"\ufeff{header}".encode()


@pytest.mark.parametrize(
    "title",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", '=HYPERLINK("http://x","y")'],
)
def test_spreadsheet_computes_nothing(page: Client, alice: User, title: str) -> None:
    new_todo(alice, title=title, description=title)
    (row,) = cells(page)
    assert row["title"] == row["description"] == f"'{title}"


@pytest.mark.parametrize(
    ("path", "content_type", "suffix"),
    [(JSON, "application/json", "json"), (CSV, "text/csv; charset=utf-8; header=present", "csv")],
)
def test_file_is_streamed_named_by_the_day_and_kept_by_nobody(
    page: Client, path: str, content_type: str, suffix: str
) -> None:
    response = page.get(path)
    assert response.streaming
    assert response.headers["Content-Type"] == content_type
    assert response.headers["Cache-Control"] == "no-store"
    name = f"tidy-{timezone.localdate():%Y-%m-%d}.{suffix}"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize("path", [JSON, CSV])
def test_export_is_for_who_is_logged_in_and_changes_nothing(
    client: Client, alice: User, path: str
) -> None:
    assert client.get(path).headers["Location"] == f"/accounts/login/?next={path}"
    client.force_login(alice)
    assert client.post(path).status_code == 405


@pytest.mark.parametrize("path", [JSON, CSV])
def test_queries_do_not_grow_with_the_list(page: Client, alice: User, path: str) -> None:
    new_todos(alice, each=3 * CHUNK_TODOS)
    new_trash(alice, each=3 * CHUNK_TODOS, trashed_at=AS_OF)
    with CaptureQueriesContext(connection) as queries:
        assert len(page.get(path).getvalue()) > 6 * CHUNK_TODOS
    assert len(queries) <= 7


@pytest.mark.parametrize("write", [json_of, csv_of])
def test_memory_does_not_grow_with_the_list(alice: User, write: Any) -> None:
    new_todos(alice, each=600, description="x" * 200)
    new_trash(alice, each=600, description="x" * 200, trashed_at=AS_OF)
    few, size = peak(write(alice))
    new_todos(alice, each=4_800, description="x" * 200)
    many, larger = peak(write(alice))
    assert larger > 4 * size
    assert many < 1.5 * few


def peak(pieces: Iterator[str]) -> tuple[int, int]:
    """Return how many bytes are in use at most while something is written, and its length."""
    tracemalloc.start()
    try:
        length = sum(map(len, pieces))
        return tracemalloc.get_traced_memory()[1], length
    finally:
        tracemalloc.stop()


@pytest.mark.django_db(transaction=True)
def test_todo_that_moves_meanwhile_is_there_once(alice: User) -> None:
    new_todos(alice, each=3 * CHUNK_TODOS)
    TodoService.delete_completed_todos(user=alice)
    new_todos(alice, each=3 * CHUNK_TODOS)
    before = [model.objects.count() for model in (Todo, TrashedTodo)]

    pieces = json_of(alice)
    written = [next(pieces) for _ in range(3)]  # The first todos are read by now.
    assert meanwhile(swap) == before
    written += pieces

    content = json.loads("".join(written))
    assert [len(content[key]) for key in ("todos", "trash")] == before
    ids = [todo["id"] for key in ("todos", "trash") for todo in content[key]]
    assert len(set(ids)) == len(ids)


def swap() -> list[int]:
    """Delete what is on the list, and bring back what is in the trash."""
    on_list = list(Todo.objects.values_list("pk", flat=True))
    restored = TodoService.restore_selected(
        todos=TrashedTodo.objects.filter(trashed_at__isnull=False)
    )
    todos = Todo.objects.filter(pk__in=on_list)
    deleted = TodoService.delete_selected(todos=todos, by=User.objects.get())
    return [deleted, restored["todos_restored"]]


def meanwhile[T](work: Callable[[], T]) -> T:
    """Do something on another connection."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_another_connection, work).result(timeout=60)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_file_that_broke_off_is_not_taken_for_complete(alice: User) -> None:
    new_todos(alice, each=3 * CHUNK_TODOS)
    pieces = json_of(alice)
    written = [next(pieces) for _ in range(3)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()
    meanwhile(lambda: end_connection(*backend))

    with pytest.raises(DatabaseError):
        written += pieces

    connection.close()
    with pytest.raises(json.JSONDecodeError):
        json.loads("".join(written))


def end_connection(backend: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [backend])
