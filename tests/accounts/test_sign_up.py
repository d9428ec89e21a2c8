"""Signing up: open or closed, nothing revealed, the address confirmed where mails are sent."""

import re
from typing import Any

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.db import IntegrityError
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.services import UserService
from tests.accounts.conftest import Events
from tests.accounts.people import PASSWORD, link_in, log_in, path_in, sign_up, words

SENT = "/accounts/confirm-email/"


def text_without(page: Any, *ours: str) -> str:
    """Return a page without tokens, and without what its visitor has typed."""
    text = re.sub(r'csrfmiddlewaretoken" value="\w+', "", page.content.decode())
    for word in ours:
        text = text.replace(word, "")
    return text


def test_sign_up_on_a_site_without_mail_asks_for_no_address_and_logs_in(
    client: Client, db: None, events: Events, settings: Settings
) -> None:
    settings.SENDS_MAIL = False
    page = client.get("/accounts/signup/")
    assert "Email" not in words(page)
    assert "This site sends no mails: keep your password safe." in words(page)
    assert sign_up(client, "dora").headers["Location"] == "/"
    dora = User.objects.get()
    assert client.get("/").wsgi_request.user == dora
    assert [(event["event"], event["user_id"]) for event in events()] == [
        ("signed up", dora.pk),
        ("logged in", dora.pk),
    ]


def test_sign_up_can_be_closed(client: Client, db: None, settings: Settings) -> None:
    settings.ACCOUNTS_SIGN_UP = False
    for page in (client.get("/accounts/signup/"), sign_up(client, "dora")):
        assert "Sign-up is closed" in words(page)
    assert not User.objects.exists()
    assert "Sign up" not in words(client.get("/accounts/login/"))


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("ann", PASSWORD, "A user with that username already exists."),
        ("ANN", PASSWORD, "A user with that username already exists."),
        ("a b", PASSWORD, "A user name has no spaces"),
        ("x" * 151, PASSWORD, "150"),
        ("dora", "12345678", "too common"),
        ("dora", "short", "too short"),
        ("doradora", "doradora", "too similar to the username"),
        ("", PASSWORD, "This field is required."),
    ],
)
def test_what_is_not_accepted_is_said_at_its_field(
    client: Client, ann: User, name: str, password: str, said: str
) -> None:
    page = sign_up(client, name, password=password)
    assert page.status_code == 200
    assert said in words(page)
    assert re.search(r'aria-describedby="[^"]*id_\w+_error"', page.content.decode())
    assert User.objects.count() == 1


def test_name_that_somebody_takes_in_the_same_moment_is_told(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = UserService.create_user

    def second(**given: str) -> User:
        create(**given)
        return create(**given)

    monkeypatch.setattr(UserService, "create_user", second)
    page = client.get(sign_up(client, "dora").headers["Location"])
    assert "Somebody has just taken this user name." in words(page)


@pytest.mark.parametrize("other", ["dora", "Dora"])
def test_two_who_sign_up_with_one_name_at_once_are_told(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    sign_up_service = UserService.sign_up

    def after_the_other(**given: str) -> User:
        User.objects.create_user(other, password=PASSWORD)
        return sign_up_service(**given)

    monkeypatch.setattr(UserService, "sign_up", after_the_other)
    page = client.get(sign_up(client, "dora").headers["Location"])
    assert "Somebody has just taken this user name." in words(page)
    assert User.objects.count() == 1


def test_name_that_is_inserted_in_the_same_moment_is_told(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflict(**_: str) -> User:
        raise IntegrityError

    monkeypatch.setattr(UserService, "create_user", conflict)
    page = client.get(sign_up(client, "dora").headers["Location"])
    assert "Somebody has just taken this user name." in words(page)


# Where mails are sent


def test_address_is_confirmed_by_a_link_and_a_button_before_the_first_log_in(
    client: Client, db: None, mail_server: list[Any], settings: Settings
) -> None:
    settings.SITE_URL = "https://tidy.example"
    answer = client.post(
        "/accounts/signup/",
        {"username": "dora", "email": "Dora@Example.com", "password1": PASSWORD},
        HTTP_HOST="localhost:666",
    )
    assert answer.headers["Location"] == SENT
    (mail,) = mail_server
    assert mail.to == ["dora@example.com"]
    assert link_in(mail).startswith("https://tidy.example/accounts/confirm-email/")
    assert "localhost" not in mail.body + mail.subject
    elsewhere = Client()
    assert log_in(elsewhere, "dora").headers["Location"] == SENT
    assert elsewhere.get("/").wsgi_request.user.is_anonymous

    page = client.get(path_in(mail))  # As mail programs do that look at links in advance.
    assert "Is dora@example.com the address of dora?" in words(page)
    assert log_in(elsewhere, "dora").headers["Location"] == SENT
    client.post(path_in(mail))

    assert client.get("/").wsgi_request.user.get_username() == "dora", "in the same browser"
    assert log_in(elsewhere, "dora").headers["Location"] == "/"
    assert "no longer valid" in words(Client().get(path_in(mail)))


def test_sign_up_with_an_address_that_is_taken_looks_like_any_other(
    db: None, ann: User, mail_server: list[Any]
) -> None:
    pages = []
    for name, address in (("dora", "ann@example.com"), ("emil", "emil@example.com")):
        browser = Client()
        answer = sign_up(browser, name, address)
        page = browser.get(answer.headers["Location"])
        assert answer.status_code == 302
        pages.append(
            (answer.headers["Location"], text_without(page, name, address.partition("@")[0]))
        )
    assert pages[0] == pages[1]
    assert not User.objects.get(username="dora").email
    to_ann, to_emil = mail_server
    assert "It belongs to an account already." in to_ann.body
    assert path_in(to_ann) == "/accounts/password/reset/"
    assert "emil gave this address as theirs." in to_emil.body


@pytest.mark.parametrize("address", ["", "ann@example.com"])
def test_nobody_is_locked_out_who_was_there_before_mails_were(
    client: Client, db: None, mail_server: list[Any], address: str
) -> None:
    """An admin's user, the superuser, a demo person: whether they were logged in or not."""
    for name in ("ann", "boss"):
        User.objects.create_user(name, email=address, password=PASSWORD)
        assert log_in(Client(), name).headers["Location"] == "/"
        assert log_in(Client(), name).headers["Location"] == "/", "and later"


def test_nobody_is_locked_out_who_mistyped_a_new_address(
    client: Client, ann: User, mail_server: list[Any]
) -> None:
    log_in(client)
    form = {"email": "anne@example.com", "action_add": ""}
    client.post("/accounts/email/", form)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "/accounts/email/"})
    assert "anne@example.com takes its place" in words(client.get("/accounts/email/"))
    for name in ("ann", "ann@example.com"):
        assert log_in(Client(), name).headers["Location"] == "/"


def test_person_whom_staff_added_and_who_forgot_the_password_is_not_asked_to_confirm(
    client: Client, ann: User, mail_server: list[Any]
) -> None:
    client.post("/accounts/password/reset/", {"email": "ann@example.com"})
    assert log_in(client).headers["Location"] == "/"


def test_mail_server_that_is_down_is_said_and_the_sign_up_goes_on_later(
    client: Client, db: None, mail_server: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise ConnectionRefusedError

    with monkeypatch.context() as down:
        down.setattr(EmailBackend, "send_messages", refuse)
        page = sign_up(client, "dora", "dora@example.com")
        assert page.status_code == 503
        assert "The mail could not be sent" in words(page)
    assert log_in(client, "dora").headers["Location"] == SENT


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("America/Los_Angeles", "America/Los_Angeles"),
        ("Europe/Atlantis", ""),
        ("localtime", ""),
        ("", ""),
    ],
)
def test_the_time_zone_of_the_device_is_that_of_the_newcomer(
    client: Client, db: None, sent: str, kept: str
) -> None:
    sign_up(client, "dora", time_zone=sent)
    assert User.objects.get().time_zone == kept
