"""What protects pages beyond them: headers on every answer, and whose word about HTTPS is taken."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from project.headers import HEADERS

#: What a visitor makes up who is none of the things that a proxy would say.
MADE_UP = {
    "x-forwarded-proto": "https",
    "x-forwarded-for": "192.0.2.66",
    "x-forwarded-host": "evil.example",
    "forwarded": "for=192.0.2.66;host=evil.example;proto=https",
    "x-forwarded-ssl": "on",
    "x-forwarded-prefix": "/evil",
}

#: Prints what the site makes of it: by HTTPS or not, under which host, and from where.
ASKED = f"""
import django, json
django.setup()
from django.test import RequestFactory
from accounts.pages.clients import address_of
request = RequestFactory(headers={{"host": "tidy.example", **{MADE_UP!r}}}).get("/")
print(json.dumps([request.is_secure(), request.build_absolute_uri(), address_of(request)]))
"""


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/", 200),
        ("/accounts/login/", 200),
        ("/trash/", 302),
        ("/admin/", 302),
        ("/nowhere/", 404),
        ("/?q=%00", 400),
        ("/livez", 200),
        ("/static/site/site.css", 200),
    ],
)
def test_every_answer_has_the_headers(
    db: None, settings: Settings, address: str, status: int
) -> None:
    # As in production, where pages need no handler of static files beside the middleware.
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:2],
        "whitenoise.middleware.WhiteNoiseMiddleware",
        *settings.MIDDLEWARE[2:],
    ]
    answer = Client().get(address)
    answer.close()
    assert answer.status_code == status
    assert_protected(answer)


def test_page_of_an_error_has_the_headers(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.middleware.translation", None)
    answer = Client(raise_request_exception=False).get("/")
    assert answer.status_code == 500
    assert_protected(answer)


def test_redirect_to_https_has_the_headers(settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = Client().get("/")
    assert answer.status_code == 301
    assert_protected(answer)


def assert_protected(answer: Any) -> None:
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_pages_may_use_nothing_but_passkeys_and_the_clipboard() -> None:
    granted = re.findall(r"([\w-]+)=\(\w+\)", HEADERS["Permissions-Policy"])
    assert granted == [
        "clipboard-write",
        "publickey-credentials-create",
        "publickey-credentials-get",
    ]


def believed(checkout: Path, proxies: str) -> list[Any]:
    """Return what a site behind so many proxies makes of made-up headers."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DJANGO_SECRET_KEY": "only-for-this-test-0123456789-abcdefghijklmnopqrstuvwxyz",
        "DJANGO_ALLOWED_HOSTS": "tidy.example",
        "DATABASE_URL": "sqlite://:memory:",
        "REDIS_URL": "redis://localhost",
        "TRUSTED_PROXIES": proxies,
    }
    completed = subprocess.run(
        [sys.executable, "-c", ASKED],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[Any] = json.loads(completed.stdout)
    return found


def test_headers_of_a_proxy_are_believed_only_where_there_is_one(checkout: Path) -> None:
    assert believed(checkout, "0") == [False, "http://tidy.example/", "127.0.0.1"]
    assert believed(checkout, "1") == [True, "https://tidy.example/", "192.0.2.66"]
