"""Passwords and addresses: changed, forgotten, and with all other devices logged out."""

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher, identify_hasher
from django.core.mail.backends.locmem import EmailBackend
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from project import settings as of_the_project
from tests.accounts.conftest import Events
from tests.accounts.people import (
    PASSWORD,
    confirm_password,
    link_in,
    log_in,
    path_in,
    sign_up,
    words,
)

NEW = "an0ther horse"


def change_password(client: Client, old: str = PASSWORD) -> Any:
    form = {"oldpassword": old, "password1": NEW, "password2": NEW}
    return client.post("/accounts/password/change/", form)


def is_logged_in(client: Client) -> bool:
    return client.get("/preferences/").status_code == 200


def test_password_is_changed_and_all_other_devices_are_logged_out(anns: Client, ann: User) -> None:
    elsewhere = Client()
    log_in(elsewhere)
    before = anns.cookies["sessionid"].value
    assert change_password(anns).status_code == 302
    assert anns.cookies["sessionid"].value != before
    assert is_logged_in(anns)
    assert not is_logged_in(elsewhere)
    assert words(anns.get("/accounts/sessions/")).count("Since") == 1
    assert log_in(Client(), password=NEW).status_code == 302


def test_password_is_changed_by_who_knows_the_old_one_alone(anns: Client, ann: User) -> None:
    page = change_password(anns, "wrong")
    assert "This is not your password." in words(page)
    ann.refresh_from_db()
    assert ann.check_password(PASSWORD)


def test_change_of_a_password_is_logged(anns: Client, ann: User, events: Events) -> None:
    change_password(anns)
    assert [(event["event"], event["user_id"]) for event in events()][-1] == (
        ("password changed", ann.pk)
    )
    assert "horse" not in str(events())


def test_change_of_a_password_leaves_what_changes_beside_it(anns: Client, ann: User) -> None:
    User.objects.update(auto_cleanup=False)
    change_password(anns)
    assert not User.objects.get().auto_cleanup


def test_argon2_hashes_and_older_passwords_still_log_in(
    client: Client, db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    User.objects.create_user("ann", password=PASSWORD)
    settings.PASSWORD_HASHERS = of_the_project.PASSWORD_HASHERS
    assert log_in(client).status_code == 302
    assert identify_hasher(User.objects.get().password).algorithm == "argon2"
    assert is_logged_in(client)


# Forgotten


def test_forgotten_password_is_replaced_by_a_link(
    client: Client, ann: User, mail_server: list[Any], settings: Settings, events: Events
) -> None:
    settings.SITE_URL = "https://tidy.example"
    elsewhere = Client()
    log_in(elsewhere)
    answer = client.post(
        "/accounts/password/reset/", {"email": "ann@example.com"}, HTTP_HOST="localhost"
    )
    assert answer.headers["Location"] == "/accounts/password/reset/done/"
    (mail,) = mail_server
    assert link_in(mail).startswith("https://tidy.example/accounts/password/reset/key/")
    assert "localhost" not in mail.body
    assert "Your user name is ann." in mail.body

    page = client.get(path_in(mail), follow=True)
    assert "Choose a new password" in words(page)
    there = page.redirect_chain[-1][0]
    client.post(there, {"password1": NEW, "password2": NEW})
    assert [mail.subject for mail in mail_server] == [
        "A new password for Tidy",
        "You have chosen a new password for Tidy",
    ]

    assert not is_logged_in(elsewhere)
    assert log_in(client, password=NEW).headers["Location"] == "/"
    assert "has been used" in words(Client().get(path_in(mail)))
    assert "password reset" in [event["event"] for event in events()]


def test_forgotten_password_of_nobody_looks_the_same(ann: User, mail_server: list[Any]) -> None:
    seen = set()
    for address in ("ann@example.com", "nobody@example.com"):
        browser = Client()
        answer = browser.post("/accounts/password/reset/", {"email": address})
        page = browser.get(answer.headers["Location"])
        text = re.sub(r'csrfmiddlewaretoken" value="\w+', "", page.content.decode())
        seen.add((answer.status_code, answer.headers["Location"], text))
    assert len(seen) == 1
    assert [mail.to for mail in mail_server] == [["ann@example.com"], ["nobody@example.com"]]


def test_mail_server_that_is_down_is_said_alike_to_all(
    ann: User, mail_server: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise ConnectionRefusedError

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    for address in ("ann@example.com", "nobody@example.com"):
        page = Client().post("/accounts/password/reset/", {"email": address})
        assert page.status_code == 503
        assert "The mail could not be sent" in words(page)


def test_link_of_somebody_else_logs_nobody_out_until_it_is_used(
    anns: Client, bob: User, mail_server: list[Any]
) -> None:
    get_user_model().objects.filter(pk=bob.pk).update(email="bob@example.com")
    Client().post("/accounts/password/reset/", {"email": "bob@example.com"})
    page = anns.get(path_in(mail_server[0]), follow=True)
    assert is_logged_in(anns)
    anns.post(page.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    assert not is_logged_in(anns)
    assert log_in(Client(), "bob", NEW).status_code == 302


def test_confirming_for_somebody_else_logs_nobody_out_until_it_is_done(
    anns: Client, mail_server: list[Any]
) -> None:
    sign_up(Client(), "dora", "dora@example.com")
    anns.get(path_in(mail_server[0]))
    assert is_logged_in(anns)


@pytest.mark.parametrize("path", ["/accounts/password/reset/", "/accounts/email/"])
def test_what_needs_mails_is_not_offered_without_them(
    anns: Client, mailoutbox: list[Any], settings: Settings, path: str
) -> None:
    settings.SENDS_MAIL = False
    for page in (
        anns.get(path),
        anns.post(path, {"email": "ann@example.com", "action_add": ""}),
    ):
        assert page.status_code == 200
        assert "This site sends no mails" in words(page)
        assert 'name="email"' not in page.content.decode()
    assert "Forgot your password?" not in words(anns.get("/accounts/password/change/"))
    assert not mailoutbox


# The address


def test_address_is_changed_by_who_knows_the_password_once_the_new_one_is_confirmed(
    anns: Client, ann: User, mail_server: list[Any], events: Events
) -> None:
    form = {"email": "new@example.com", "action_add": ""}
    asked = anns.post("/accounts/email/", form)
    assert asked.headers["Location"].startswith("/accounts/reauthenticate/?next=")
    assert not mail_server
    anns.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "/accounts/email/"})
    page = words(anns.get("/accounts/email/"))
    assert "Your address is ann@example.com ." in page
    assert "new@example.com takes its place once you open the link" in page
    (mail,) = mail_server
    assert mail.to == ["new@example.com"]

    anns.post(path_in(mail))

    ann.refresh_from_db()
    assert ann.email == "new@example.com"
    assert log_in(Client(), "new@example.com").status_code == 302
    assert log_in(Client(), "ann@example.com").status_code == 200
    assert "address changed" in [event["event"] for event in events()]
    assert "new@" not in str(events())


def test_new_address_can_be_forgotten(anns: Client, ann: User, mail_server: list[Any]) -> None:
    confirm_password(anns)
    anns.post("/accounts/email/", {"email": "new@example.com", "action_add": ""})
    anns.post("/accounts/email/", {"email": "new@example.com", "action_remove": ""})
    page = words(anns.get("/accounts/email/"))
    assert "takes its place" not in page
    assert "Your address is ann@example.com ." in page
    ann.refresh_from_db()
    assert ann.email == "ann@example.com"
    anns.post(path_in(mail_server[0]))
    ann.refresh_from_db()
    assert ann.email == "ann@example.com"


def test_address_that_somebody_else_has_is_not_revealed_and_not_taken(
    anns: Client, ann: User, mail_server: list[Any]
) -> None:
    bob = User.objects.create_user("bob", email="bob@example.com", password=PASSWORD)
    confirm_password(anns)
    anns.post("/accounts/email/", {"email": "bob@example.com", "action_add": ""})
    page = words(anns.get("/accounts/email/"))
    assert "bob@example.com takes its place once you open the link" in page
    assert log_in(Client(), "bob@example.com").status_code == 302
    bob.refresh_from_db()
    assert bob.email == "bob@example.com"


def test_change_is_told_by_mail(anns: Client, ann: User, mail_server: list[Any]) -> None:
    anns.defaults["HTTP_USER_AGENT"] = "Call 555-0100 now! Firefox/1 (X11; Linux)"
    change_password(anns)
    (mail,) = mail_server
    assert mail.to == ["ann@example.com"]
    assert "127.0.0.1" in mail.body
    assert "If this was you, all is well." in mail.body
    assert "Firefox on Linux" in mail.body
    assert "555" not in mail.body


def test_address_that_staff_replace_no_longer_logs_in(
    admin_client: Client, mail_server: list[Any]
) -> None:
    browser = Client()
    sign_up(browser, "dora", "dora@example.com")
    browser.post(path_in(mail_server[0]))
    dora = User.objects.get(username="dora")
    form = {
        "username": "dora",
        "email": "new@example.com",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "12:00:00",
    }
    admin_client.post(f"/admin/accounts/user/{dora.pk}/change/", form)
    assert log_in(Client(), "dora@example.com").status_code == 200
    assert log_in(Client(), "new@example.com").status_code == 302


def test_mail_server_that_is_down_does_not_undo_what_is_done(
    anns: Client, ann: User, mail_server: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise ConnectionRefusedError

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    assert change_password(anns).status_code == 302
    assert "Your password is changed." in words(anns.get("/accounts/password/change/"))
    assert log_in(Client(), password=NEW).status_code == 302
