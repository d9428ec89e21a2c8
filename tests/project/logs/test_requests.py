"""The log of requests: one line each, with no secret of a link and nothing that people wrote."""

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.conf import settings as of_the_site
from django.test import Client, RequestFactory
from pytest_django import Settings

from accounts.models import Access, User
from accounts.tokens.services import TokenService
from project.logs.config import logging_config
from project.logs.paths import shown_path

SECRET = "c2VjcmV0"

#: Where links of mails lead, and what stands in the log.
PATHS = {
    f"/accounts/confirm-email/{SECRET}:1a:b-c/": "/accounts/confirm-email/<key>/",
    f"/accounts/password/reset/key/1a-{SECRET}/": "/accounts/password/reset/key/<uidb36>-<key>/",
    f"/unsubscribe/{SECRET}/": "/unsubscribe/<token>/",
    f"/calendar/{SECRET}.ics": "/calendar/<secret>.ics",
    f"/calendar/{SECRET}": "/<unknown>",
    f"/calendar/{SECRET}.ics/": "/<unknown>",
    "/accounts/sessions/17/end/": "/accounts/sessions/17/end/",
    "/admin/todos/todo/17/change/": "/admin/todos/todo/17/change/",
    f"/accounts/confirm-email/{SECRET}": "/<unknown>",
    f"/reset-3f-{SECRET}": "/<unknown>",
    f"/{SECRET}": "/<unknown>",
    f"/admin/{SECRET}/": "/admin/<url>",
    "/favicon.ico": "/<unknown>",
    "/": "/",
}

type Lines = Callable[[], list[str]]


@pytest.fixture
def logged(settings: Settings) -> Iterator[Lines]:
    """A site as it runs behind a web server: the lines that it has logged."""
    health, log = "project.health.HealthMiddleware", "project.logs.requests.RequestLogMiddleware"
    settings.MIDDLEWARE = [
        middleware
        for one in settings.MIDDLEWARE
        for middleware in ([one, log] if one == health else [one])
    ]
    (handler,) = [one for one in logging.getLogger().handlers if type(one) is logging.StreamHandler]
    stream = StringIO()
    before, formatter = handler.setStream(stream), handler.formatter
    options = logging_config()["formatters"]["line"]
    handler.setFormatter(options.pop("()")(**options))
    yield lambda: stream.getvalue().splitlines()
    handler.setStream(before)
    handler.setFormatter(formatter)


@pytest.mark.parametrize(("path", "shown"), PATHS.items())
def test_path_is_shown_as_its_route_has_it_with_numbers_alone(path: str, shown: str) -> None:
    assert shown_path(RequestFactory().get(path, {"q": SECRET})) == shown


@pytest.mark.parametrize("path", [path for path in PATHS if SECRET in path])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_no_line_of_a_request_has_the_secret_of_its_path(
    client: Client, db: None, logged: Lines, path: str, method: str
) -> None:
    getattr(client, method)(f"{path}?q=Buy+milk")
    lines = logged()
    assert lines
    assert not [line for line in lines if SECRET in line or "milk" in line]


def test_no_line_has_the_secret_of_a_calendar_whatever_the_answer(
    client: Client, alice: User, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = TokenService.create(user=alice, name="Phone", access=Access.CALENDAR)
    address = f"/calendar/{made.secret}.ics"
    etag = client.get(address).headers["ETag"]
    client.get(address, headers={"if-none-match": etag})
    client.post(address)
    client.get(f"{address}/")
    client.get(address.upper())
    client.get(f"{address}?{made.secret}", headers={"referer": made.secret})
    monkeypatch.setattr("todos.pages.calendar.ASKS_A_MINUTE", 0)
    client.get(address)
    monkeypatch.setattr("todos.pages.calendar.feed_of", lambda *_, **__: failing(made.secret))
    monkeypatch.setattr("todos.pages.calendar.ASKS_A_MINUTE", 100)
    client.raise_request_exception = False
    client.get(address)
    TokenService.revoke(user=alice, token_id=made.token.pk)
    client.get(address)
    lines = logged()
    told = [event["status"] for event in map(json.loads, lines) if event["event"] == "request"]
    assert told == [200, 304, 405, 404, 404, 200, 429, 500, 404]
    assert "Traceback" in "".join(lines)
    hidden = made.secret.removeprefix("tidy_").partition("_")
    assert not [line for line in lines for part in hidden[::2] if part.lower() in line.lower()]


def failing(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize(("path", "status"), [("/todos/add/", 405), ("/trash/", 405), ("/x", 404)])
def test_method_that_is_none_of_http_is_not_repeated(
    client: Client, alice: User, logged: Lines, path: str, status: int
) -> None:
    client.force_login(alice)
    assert client.generic("SECRETMETHOD1", path).status_code == status
    lines = logged()
    assert not [line for line in lines if "SECRETMETHOD1" in line]
    assert "_OTHER" in [event.get("method") for event in map(json.loads, lines)]


def test_request_is_one_line_with_what_operators_ask_for(
    client: Client, alice: User, logged: Lines
) -> None:
    client.force_login(alice)
    assert client.get("/search/?q=milk", REMOTE_ADDR="192.0.2.7").status_code == 200
    (line,) = logged()
    event = json.loads(line)
    told = {name: event[name] for name in ("event", "method", "path", "status", "client")}
    assert told == {
        "event": "request",
        "method": "GET",
        "path": "/search/",
        "status": 200,
        "client": "192.0.2.7",
    }
    assert event["milliseconds"] >= 0


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({"host": "evil.example"}, {}),
        ({}, {f"field{number}": "" for number in range(1001)}),
        ({}, {"field": "x" * (of_the_site.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)}),
    ],
)
def test_refused_request_is_one_warning_without_a_traceback(
    client: Client, db: None, logged: Lines, headers: dict[str, Any], form: dict[str, str]
) -> None:
    assert client.post("/accounts/login/", form, headers=headers).status_code in {400, 413}
    lines = logged()
    told = [event["level"] for event in map(json.loads, lines) if event["event"] != "request"]
    assert told == ["warning"]
    assert not [line for line in lines if "Traceback" in line]


def test_health_probes_and_static_files_are_not_logged(
    client: Client, db: None, logged: Lines
) -> None:
    assert client.get("/livez").status_code == 200
    assert not logged()
