"""Pages of errors: plain words, whatever is wrong, and nothing but what the policy allows."""

from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from pytest_django import Settings

from accounts.models import User
from project import middleware
from tests.accounts.people import words
from tests.admin_pages import Page
from todos.pages import preferences

TEMPLATES = Path(__file__).resolve().parent.parent.parent / "project/templates"
PAGES = ("400", "403", "403_csrf", "404", "413", "429", "500", "503")
OF_CONFLICTS = ("project/changed_meanwhile", "project/held_up")


@pytest.mark.parametrize("name", PAGES + OF_CONFLICTS)
def test_page_comes_without_a_request_a_user_or_a_database(name: str) -> None:
    """No database: the test has not asked for one."""
    for language in ("en", "de"):
        with translation.override(language):
            html = render_to_string(f"{name}.html")
        assert html.count("<h1>") == 1
        assert f'<html lang="{language}"' in html
        assert not Page(html).blocked


def test_every_error_page_is_tested() -> None:
    assert {path.stem for path in TEMPLATES.glob("[0-9]*.html")} == set(PAGES)


def test_page_that_is_not_there_says_so(client: Client, alice: User) -> None:
    for _ in range(2):
        page = client.get("/nowhere/")
        assert page.status_code == 404
        assert "Nothing is here" in words(page)
        client.force_login(alice)
    assert "alice Log out" in words(page)


def test_page_that_fails_says_so_and_asks_no_database(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(alice)
    client.raise_request_exception = False
    monkeypatch.setattr(preferences, "render", failing)
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/preferences/")
    assert page.status_code == 500
    assert "It is not your fault." in words(page)
    assert len(queries) <= 6


def failing(*_: object, **__: object) -> HttpResponse:
    raise RuntimeError("a secret")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_who_adds_something_to_a_database_that_refuses_it_knows_that_it_was_not_saved(
    client: Client, alice: User
) -> None:
    client.force_login(alice)
    client.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        try:
            page = client.post("/todos/add/", {"title": "Milk"})
        finally:
            cursor.execute("RESET default_transaction_read_only")
    assert page.status_code == 503
    assert "It was not saved. Go back, and send it again in a moment." in words(page)


def test_stale_form_says_what_to_do(db: None) -> None:
    page = Client(enforce_csrf_checks=True).post("/accounts/login/", {"login": "x"})
    assert page.status_code == 403
    assert "This page has grown old" in words(page)
    assert "Go back, reload the page and try again." in words(page)


@pytest.mark.parametrize("host", ["testserver", "elsewhere.example"])
@pytest.mark.parametrize("path", ["/", "/nowhere/", "/admin/nowhere/"])
def test_form_that_cannot_be_read_is_refused_whatever_else_is_wrong(
    db: None, path: str, host: str
) -> None:
    broken = "multipart/form-data; boundary=other"
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.get("/accounts/login/")  # For the cookie, without which no form is read.
    page = client.post(path, b"field=1&" * 250, broken, headers={"Host": host})
    assert page.status_code in {400, 404}
    assert "<h1>" in page.content.decode()


@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/signup/"])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", MULTIPART_CONTENT])
def test_ten_megabytes_are_refused_in_plain_words(db: None, path: str, kind: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.get(path)
    form = {"login": "x" * 10_000_000, "csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    body = urlencode(form) if kind != MULTIPART_CONTENT else encode_multipart(BOUNDARY, form)
    for browser in (client, Client(enforce_csrf_checks=True)):
        page = browser.generic("POST", path, body, kind)
        assert page.status_code == 413
        assert "This is too much at once" in words(page)


def test_body_that_was_not_measured_before_is_refused_as_it_is_read(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    monkeypatch.setattr(middleware, "body_bytes", lambda _: 0)
    page = client.post("/accounts/login/", {"login": "x" * 2_000})
    assert page.status_code == 413


def test_unknown_host_is_told_plainly(db: None) -> None:
    page = Client(HTTP_HOST="evil.example").get("/")
    assert page.status_code == 400
    assert "This request cannot be understood" in words(page)
    assert "evil" not in page.content.decode()
