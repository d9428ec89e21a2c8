"""What the tests of accounts share: a password, a mail server, and what stands in the log."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from tests.accounts.people import PASSWORD

type Events = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def ann(db: None) -> User:
    """Somebody whom staff have added, with a password and an address that nobody confirmed."""
    return User.objects.create_user("ann", email="ann@example.com", password=PASSWORD)


@pytest.fixture
def anns(client: Client, ann: User) -> Client:
    """Ann's browser: she has logged in as people do."""
    form = {"login": "ann", "password": PASSWORD}
    assert client.post("/accounts/login/", form).status_code == 302
    return client


@pytest.fixture
def mail_server(db: None, settings: Settings, mailoutbox: list[Any]) -> list[Any]:
    """A site that sends mails: those that it has sent. (The database's fixture empties them.)"""
    settings.ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.ACCOUNT_EMAIL_NOTIFICATIONS = True
    return mailoutbox


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that have been hashed."""
    done: list[str] = []
    encode = MD5PasswordHasher.encode

    def noted(self: MD5PasswordHasher, password: str, salt: str) -> str:
        done.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", noted)
    return done


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Events:
    """Return what has been logged about accounts so far."""
    caplog.set_level("INFO")

    def so_far() -> list[dict[str, Any]]:
        logged = map(attrgetter("msg"), caplog.records)
        return [event for event in logged if isinstance(event, dict) and "client" in event]

    return so_far
