"""Whatever is sent, nobody gets a server error: on both databases."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from django.db import IntegrityError, OperationalError
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from project.middleware import is_held_up
from tasks.engine.models import Schedule, State, TaskRun
from tests.examples import examples
from tests.factories import new_run
from tests.todos.locks import locked, short_of_patience
from todos.models import Todo
from todos.services import TodoService

ADDRESSES = (
    *("/admin/", "/accounts/login/", "/accounts/signup/", "/accounts/sessions/"),
    *("/admin/login/", "/admin/background/", "/admin/background/dead-letters/"),
    *("/admin/accounts/user/", "/admin/auth/group/", "/admin/todos/todo/"),
    *("/admin/todos/trashedtodo/", "/admin/tasks/taskrun/", "/admin/tasks/schedule/"),
    *("/admin/tasks/process/", "/admin/autocomplete/", "/admin/accounts/user/add/"),
    *("/admin/todos/todo/add/", "/admin/todos/todo/1/change/", "/admin/accounts/user/1/change/"),
    *("/admin/accounts/user/1/password/", "/admin/todos/todo/1/history/", "/admin/jsi18n/"),
)

#: What addresses of the admin and the console can be given.
NAMES = (
    *("q", "p", "o", "e", "all", "_facets", "_popup", "_to_field", "_changelist_filters", "next"),
    *("task", "state", "by", "due", "trigger", "actor", "queue", "page", "term", "app_label"),
    *("model_name", "field_name", "user__id__exact", "user__id__in", "id__exact", "id__gte"),
    *("created_at__gte", "created_at__lt", "completed_at__isnull", "trashed_at__year"),
    *("is_active__exact", "keep_completed_days__isempty", "keep_completed_days__gte"),
    *("date_joined__gte", "date_joined__year", "state__exact", "user__username", "run_id__exact"),
    *("created_at__year", "completed_at__gte", "attempts__range", "task__regex", "user__in"),
    *("title__regex", "user__password__startswith", "pk", "id", "user", "title", "username"),
    *("action", "_selected_action", "select_across", "post", "back", "letter", "_saveasnew"),
)
HOSTILE = (
    *("\0", "a\0b", "", "0", "-1", "1", "99999999999999999999999", "-99999999999999999999999"),
    *("1e999", "nan", "1,2,x", "1.2.3", "-0.-9", "true", "None", "2026-01-01", "9999-12-31"),
    *("2026-01-01T00:00:00+16:00", "9" * 19, "9" * 30, "(", "x)"),
    *("0000-00-00", "2026-13-45", "10000-01-01T00:00:00+99:99", "[", "(?", "\\", "%", "%00"),
    *("\ud7ff\U0010ffff", "\x1b[2J", "'; DROP TABLE todos_todo; --", "x" * 5_000, "accounts"),
    *("complete", "reopen", "restore", "delete_selected", "yes"),
)

texts = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
forms = st.dictionaries(st.sampled_from(NAMES) | texts, texts, max_size=4)
fuzz = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def boss(admin_client: Client, alice: User) -> Client:
    """A client that may do everything, on a site with a little in it."""
    Todo.objects.create(user=alice, title="Water the plants")
    Schedule.objects.create(task="ping", every=60)
    return admin_client


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/admin/", "/nowhere/", "/export.json"])
def test_no_page_is_kept_by_browsers_or_proxies(boss: Client, path: str) -> None:
    for client in (boss, Client()):
        assert "no-store" in client.get(path).headers["Cache-Control"]


def test_page_in_the_browsers_language_says_so(boss: Client, admin_user: User) -> None:
    assert "Accept-Language" in boss.get("/trash/").headers["Vary"]
    User.objects.update(language="de")
    assert "Accept-Language" not in boss.get("/trash/").headers["Vary"]


@pytest.mark.parametrize(
    "query", [f"{name}=%00" for name in ("task", "q", "state", "p", "o", "user__id__exact")]
)
@pytest.mark.parametrize("address", ADDRESSES)
def test_nul_in_an_address_is_refused_in_one_line(boss: Client, address: str, query: str) -> None:
    for headers in ({}, {"HX-Request": "true"}):
        response = boss.get(f"{address}?{query}", headers=headers)
        assert response.status_code == 400
        assert response.content.decode().count("\n") == 1
        assert "NUL character" in response.content.decode()


def test_nul_in_a_path_a_header_or_a_cookie_is_refused(client: Client, db: None) -> None:
    assert client.get("/", headers={"user-agent": "a\0b"}).status_code == 400
    assert client.get("/admin/todos/todo/%00/change/").status_code == 400
    # A cookie may be quoted, as this one is.
    client.cookies.load('sessionid="a\\000b"')
    assert client.get("/accounts/login/").status_code == 400


def test_nul_in_a_form_is_an_error_of_its_field_or_refused(boss: Client) -> None:
    page = Client().post("/accounts/login/", {"login": "a\0", "password": "x"})
    assert "Null characters are not allowed." in page.content.decode()

    for action in ("complete", "delete_selected"):
        for row in ("\0", "abc", "1.5", ""):
            chosen = {"action": action, "_selected_action": row, "post": "yes"}
            response = boss.post("/admin/todos/todo/", chosen)
            assert response.status_code == 400
            assert response.content.decode().startswith("This request is malformed")
    assert Todo.objects.get().completed_at is None


@pytest.mark.parametrize(
    "address",
    [
        "/admin/todos/todo/add/?user=abc",
        "/admin/todos/todo/?created_at__year=0",
        "/admin/accounts/user/?date_joined__year=99999",
        "/admin/todos/todo/?title__regex=(",
        "/admin/accounts/user/?id__range=123",
        "/admin/todos/todo/?user__id__range=99999999999999999999",
    ],
)
def test_filter_that_makes_no_sense_is_refused_in_one_line(boss: Client, address: str) -> None:
    response = boss.get(address)
    assert response.status_code == 400
    assert response.content.decode().startswith("This request is malformed")


@pytest.mark.parametrize("lookup", ["tasks__contains=a", "queues__contains=a"])
def test_comparison_that_a_database_does_not_know_is_no_server_error(
    boss: Client, lookup: str
) -> None:
    assert boss.get(f"/admin/tasks/process/?{lookup}").status_code < 500


@pytest.mark.parametrize("address", ["/accounts/login/", "/admin/todos/todo/", "/nowhere/"])
@pytest.mark.parametrize("charset", ["utf-16", "idna", "base64", "undefined", "hex", "none"])
def test_form_in_another_encoding_than_utf8_is_refused(
    db: None, address: str, charset: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        response = client.generic("POST", address, b"a=b", f"{kind}; charset={charset}")
        assert response.status_code == 400
        assert "not in UTF-8" in response.content.decode()


def test_form_in_utf8_may_say_so(client: Client, db: None) -> None:
    for charset in ("utf-8", "UTF-8", '"utf-8"'):
        kind = f"application/x-www-form-urlencoded; charset={charset}"
        assert client.generic("POST", "/accounts/login/", "a=b", kind).status_code == 200


def test_row_that_has_come_meanwhile_is_a_conflict_in_words(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TodoService, "complete_selected", raises(IntegrityError("DETAIL: secret")))
    chosen = {"action": "complete", "_selected_action": str(Todo.objects.get().pk)}
    page = boss.post("/admin/todos/todo/", chosen)
    assert page.status_code == 409
    assert "the data has changed" in page.content.decode()
    assert "secret" not in page.content.decode()


@pytest.mark.postgresql
def test_moment_that_postgresql_does_not_know_is_refused(boss: Client) -> None:
    response = boss.get("/admin/todos/todo/?completed_at__gte=2026-01-01T00:00:00%2B16:00")
    assert response.status_code == 400


def test_error_of_our_own_is_not_taken_for_a_malformed_request(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TodoService, "complete_selected", raises(ValueError("ours")))
    chosen = {"action": "complete", "_selected_action": str(Todo.objects.get().pk)}
    with pytest.raises(ValueError, match="ours"):
        boss.post("/admin/todos/todo/", chosen)


def raises(error: Exception) -> Callable[..., None]:
    def do(**_: object) -> None:
        raise error

    return do


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_button_that_waits_for_a_lock_in_vain_says_so_and_changes_nothing(
    admin_client: Client, alice: User
) -> None:
    todo = Todo.objects.create(user=alice, title="Water the plants")
    schedule = Schedule.objects.create(task="ping", every=60)
    buttons: list[tuple[str, dict[str, str]]] = [
        ("/admin/todos/todo/", {"action": "complete", "_selected_action": str(todo.pk)}),
        (f"/admin/accounts/user/{alice.pk}/delete/", {"post": "yes"}),
        (f"/admin/background/schedules/{schedule.pk}/pause/", {"confirmed": "1", "note": "Why"}),
    ]
    with (
        short_of_patience(),
        locked("todos_todo", todo.pk),
        locked("tasks_schedule", schedule.pk),
    ):
        for address, form in buttons:
            page = admin_client.post(address, form)
            assert page.status_code == 503, address
            assert page.headers["Retry-After"] == "30"
            assert "this is locked at the moment" in page.content.decode()
    todo.refresh_from_db()
    schedule.refresh_from_db()
    assert todo.completed_at is None
    assert schedule.enabled


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_nothing_is_changed_that_cannot_be_logged(admin_client: Client) -> None:
    schedule = Schedule.objects.create(task="runs.prune", every=3600)
    failed = new_run(State.FAILED)
    # The log refers to whoever did it.
    with short_of_patience(), locked("accounts_user", User.objects.get().pk):
        for address in (
            f"schedules/{schedule.pk}/pause/",
            f"schedules/{schedule.pk}/run/",
            f"runs/{failed.pk}/again/",
            f"runs/{failed.pk}/acknowledge/",
        ):
            answer = admin_client.post(
                f"/admin/background/{address}", {"confirmed": "1", "note": "Why"}
            )
            assert answer.status_code == 503, address
    schedule.refresh_from_db()
    assert schedule.enabled
    assert list(TaskRun.objects.unacknowledged()) == [failed]
    assert TaskRun.objects.count() == 1


def test_sqlites_lock_is_told_from_its_other_errors(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "a.sqlite3", isolation_level=None)) as holder,
        closing(sqlite3.connect(tmp_path / "a.sqlite3", timeout=0.1)) as other,
    ):
        holder.execute("BEGIN IMMEDIATE")
        assert is_held_up(error_of(other, "CREATE TABLE todo (id integer)"))
        assert not is_held_up(error_of(other, "SELECT nonsense"))


def error_of(database: sqlite3.Connection, statement: str) -> OperationalError:
    error = OperationalError()
    with pytest.raises(sqlite3.OperationalError) as caught:
        database.execute(statement)
    error.__cause__ = caught.value
    return error


@fuzz
@given(address=st.sampled_from(ADDRESSES), query=forms)
def test_no_query_is_a_server_error(boss: Client, address: str, query: dict[str, str]) -> None:
    response = boss.get(f"{address}?{urlencode(query)}")
    assert response.status_code < 500
    if "/login/" not in address:
        assert "/login/" not in response.headers.get("Location", ""), "they are logged in"


@pytest.mark.parametrize("owner", ["1e999", "9" * 23, "-1", "alice", "½"])
def test_owner_who_is_no_number_is_refused_or_an_error_of_the_form(
    boss: Client, owner: str
) -> None:
    page = boss.post("/admin/todos/todo/add/", {"user": owner, "title": "Sow"})
    words = {200: "errornote", 400: "This request is malformed"}
    assert words[page.status_code] in page.content.decode()


@pytest.mark.parametrize("owner", ["", "999999"])
def test_owner_who_is_missing_or_nobody_is_an_error_of_the_form(boss: Client, owner: str) -> None:
    page = boss.post("/admin/todos/todo/add/", {"user": owner, "title": "Sow"})
    assert page.status_code == 200
    assert "errornote" in page.content.decode()


@fuzz
@given(address=st.sampled_from(ADDRESSES), form=forms)
def test_no_form_is_a_server_error(boss: Client, address: str, form: dict[str, str]) -> None:
    assert boss.post(address, form).status_code < 500


@fuzz
@given(
    address=st.sampled_from(
        [
            "/admin/todos/todo/{}/change/",
            "/admin/todos/trashedtodo/{}/change/",
            "/admin/accounts/user/{}/password/",
            "/admin/accounts/user/{}/delete/",
            "/admin/tasks/taskrun/{}/history/",
            "/admin/background/runs/{}/undo/",
        ]
    ),
    which=texts,
)
def test_no_path_is_a_server_error(boss: Client, address: str, which: str) -> None:
    assert boss.get(address.format(quote(which, safe=""))).status_code < 500


@fuzz
@given(username=texts, password=texts, next_page=texts)
def test_no_login_is_a_server_error(
    client: Client, db: None, username: str, password: str, next_page: str
) -> None:
    form = {"login": username, "password": password, "next": next_page}
    assert client.post("/accounts/login/", form).status_code < 500
    assert client.post("/admin/login/", form).status_code < 500
