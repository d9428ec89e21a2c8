"""The id of a request: whose it is, and where it goes."""

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings
from structlog.contextvars import get_contextvars

from accounts.models import User
from tests.factories import new_todos

GIVEN = "7f1e-proxy.42_A"


@pytest.fixture
def proxied(settings: Settings) -> None:
    """A site behind one proxy."""
    settings.TRUSTED_PROXIES = 1


def id_of(client: Client, path: str = "/accounts/login/", **headers: str) -> str:
    """Return the id that a page is answered with."""
    return client.get(path, headers={name.replace("_", "-"): headers[name] for name in headers})[
        "X-Request-ID"
    ]


def test_request_gets_an_id_of_its_own(client: Client, db: None) -> None:
    first, second = id_of(client), id_of(client)
    assert first != second
    assert len(first) == len(second) == 32


def test_id_that_anybody_may_have_given_is_not_taken(client: Client, db: None) -> None:
    assert id_of(client, x_request_id=GIVEN) != GIVEN


def test_id_that_a_trusted_proxy_has_given_is_taken(
    client: Client, db: None, proxied: None
) -> None:
    assert id_of(client, x_request_id=GIVEN) == GIVEN


@pytest.mark.parametrize(
    "given", ["", "two words", "a" * 65, "a\tb", "<b>", "ä", "a;b", "a,b", "{}", '"a"']
)
def test_id_that_is_no_harmless_word_is_not_taken(
    client: Client, db: None, proxied: None, given: str
) -> None:
    assert id_of(client, x_request_id=given) != given


def test_pages_that_fail_are_answered_with_it_too(client: Client, db: None, proxied: None) -> None:
    assert id_of(client, "/nothing/", x_request_id=GIVEN) == GIVEN


@pytest.fixture
def finished() -> Iterator[None]:
    """After the test, no line has an id any more."""
    yield
    assert "request_id" not in get_contextvars()


def test_export_has_its_id_until_its_last_line(client: Client, alice: User, finished: None) -> None:
    new_todos(alice, each=3)
    client.force_login(alice)
    response = client.get("/export.csv")
    assert response.streaming
    assert get_contextvars()["request_id"] == response["X-Request-ID"]
    assert response.getvalue()
