"""Deleting one's own account: it says what goes, asks for the password, and leaves nothing."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from unittest.mock import patch

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Session, User
from accounts.services import UserService
from tests.factories import AS_OF, new_todo, new_todos, new_trash
from todos.models import Todo, TrashedTodo

PAGE = "/delete-account/"
GOODBYE = "/goodbye/"
PASSWORD = "c0rrect horse"


@pytest.fixture
def dora(db: None) -> User:
    return User.objects.create_user("dora", password=PASSWORD)


@pytest.fixture
def page(client: Client, dora: User) -> Client:
    """Dora's browser."""
    client.force_login(dora)
    return client


def text_of(response: Any) -> str:
    main = response.content.decode().split("<main", 1)[1]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())


def confirm(client: Client, password: str = PASSWORD) -> Any:
    return client.post(PAGE, {"password": password})


def test_page_says_what_goes_and_offers_a_copy_first(page: Client, dora: User) -> None:
    new_todos(dora, each=12)
    new_trash(dora, each=1_200, trashed_at=AS_OF)
    response = page.get(PAGE)
    text = text_of(response)
    assert "This deletes the account dora, and with it:" in text
    assert "12 todos on your list" in text
    assert "1,200 todos in the trash" in text
    assert "At once and for good: there is no way back." in text
    assert b'href="/export.json"' in response.content
    assert User.objects.filter(username="dora").exists(), "looking deletes nothing"


def test_account_is_deleted_at_once_with_everything_in_it(page: Client, dora: User) -> None:
    new_todos(dora, each=3)
    new_trash(dora, each=3, trashed_at=AS_OF)
    EmailAddress.objects.create(user=dora, email="dora@example.com", primary=True)
    Authenticator.objects.create(user=dora, type=Authenticator.Type.TOTP, data={})
    UserSession.objects.create(user=dora, ip="192.0.2.1", session_key="s", user_agent="Browser")
    elsewhere = Client()
    elsewhere.force_login(dora)

    response = confirm(page)

    assert (response.status_code, response.headers["Location"]) == (302, GOODBYE)
    for model in (User, Todo, TrashedTodo, EmailAddress, Authenticator, UserSession, Session):
        assert not model.objects.exists(), model
    assert "Your account is deleted" in text_of(page.get(GOODBYE))
    for browser in (page, elsewhere):
        assert browser.get(PAGE).headers["Location"].startswith("/accounts/login/")


def test_others_keep_everything(page: Client, bob: User) -> None:
    new_todo(bob)
    new_trash(bob, each=1, trashed_at=AS_OF)
    theirs = Client()
    theirs.force_login(bob)
    confirm(page)
    assert list(User.objects.all()) == [bob]
    assert (Todo.objects.count(), TrashedTodo.objects.count()) == (1, 1)
    assert theirs.get(PAGE).status_code == 200


@pytest.mark.parametrize("password", ["", "wrong", "x" * 100_000, "c0rrect horse\0"])
def test_wrong_password_deletes_nothing(page: Client, password: str) -> None:
    response = confirm(page, password)
    assert response.status_code == 200
    assert 'id="id_password_error"' in response.content.decode()
    assert User.objects.filter(username="dora").exists()


def test_password_cannot_be_guessed_at(page: Client) -> None:
    for number in range(10):
        assert confirm(page, f"guess {number}").status_code == 200
    # Not even with the right password by now.
    assert confirm(page).status_code == 429
    assert User.objects.filter(username="dora").exists()


def test_forged_request_deletes_nothing(dora: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(dora)
    assert confirm(strict).status_code == 403
    assert strict.delete(PAGE).status_code in {403, 405}
    assert User.objects.filter(username="dora").exists()


def test_nobody_is_asked_to_log_in(client: Client) -> None:
    assert client.get(PAGE).headers["Location"] == f"/accounts/login/?next={PAGE}"
    assert confirm(client).headers["Location"] == f"/accounts/login/?next={PAGE}"


def test_who_has_no_password_gives_their_user_name(page: Client, dora: User) -> None:
    dora.set_unusable_password()
    dora.save()
    page.force_login(dora)

    assert "Your user name" in text_of(page.get(PAGE))
    assert "This is not your user name." in text_of(page.post(PAGE, {"username": "dor"}))
    assert page.post(PAGE, {"username": "dora"}).headers["Location"] == GOODBYE
    assert not User.objects.exists()


def test_who_has_a_second_factor_but_no_password_confirms_by_it(page: Client, dora: User) -> None:
    dora.set_unusable_password()
    dora.save()
    Authenticator.objects.create(user=dora, type=Authenticator.Type.TOTP, data={"secret": "s"})
    page.force_login(dora)

    response = page.post(PAGE, {"username": "dora"})

    assert response.headers["Location"].startswith(reverse("mfa_reauthenticate"))
    assert User.objects.exists()


def test_staff_are_told_kindly_that_the_account_stays(page: Client, dora: User) -> None:
    dora.is_staff = True
    dora.save()
    response = page.get(PAGE)
    assert "This account has to stay" in text_of(response)
    assert b"password" not in response.content.split(b"<main", 1)[1]
    assert confirm(page).status_code == 200
    assert User.objects.exists()


def test_account_that_the_log_names_stays(page: Client, dora: User) -> None:
    LogEntry.objects.create(user=dora, object_repr="todo 1", action_flag=1)
    assert "This account has to stay" in text_of(page.get(PAGE))
    confirm(page)
    assert User.objects.exists()


def test_who_becomes_staff_meanwhile_is_told(page: Client, dora: User) -> None:
    really = UserService.delete

    def promoted(*, user: User) -> None:
        User.objects.filter(pk=user.pk).update(is_staff=True)
        really(user=user)

    with patch.object(UserService, "delete", promoted):
        assert confirm(page).headers["Location"] == PAGE
    assert "This account has to stay" in text_of(page.get(PAGE))


@pytest.mark.parametrize(("failures", "left"), [(1, 0), (2, 1)])
def test_what_appears_meanwhile_is_deleted_too_or_said(
    page: Client, dora: User, failures: int, left: int
) -> None:
    really, failed = UserService.delete, 0

    def too_late(*, user: User) -> None:
        nonlocal failed
        failed += 1
        if failed <= failures:
            raise IntegrityError("a todo refers to the user")
        really(user=user)

    with patch.object(UserService, "delete", too_late):
        response = confirm(page)
    assert User.objects.count() == left
    if left:
        assert response.headers["Location"] == PAGE
        assert "Nothing was deleted; try again." in text_of(page.get(PAGE))


def test_doubled_request_ends_as_the_first_does(page: Client) -> None:
    twin = Client()
    twin.cookies.update(page.cookies)
    assert confirm(page).headers["Location"] == GOODBYE
    assert confirm(twin).status_code == 302
    assert not User.objects.exists()


def test_notices_that_quote_a_todo_are_gone_too(page: Client, dora: User) -> None:
    page.post("/preferences/", {"keep": "7", "initial-keep": "site"})
    confirm(page)
    assert "Saved." not in text_of(page.get(GOODBYE))


def test_large_account_is_not_loaded(page: Client, dora: User) -> None:
    with CaptureQueriesContext(connection) as looked:
        page.get(PAGE)
    assert len(looked) <= 6
    new_todos(dora, each=10_000)
    new_trash(dora, each=10_000, trashed_at=AS_OF)
    with CaptureQueriesContext(connection) as few:
        assert confirm(page).headers["Location"] == GOODBYE
    assert len(few) <= 40
    assert not any('SELECT "todos_' in query["sql"] for query in few)
    assert not Todo.objects.exists()


@pytest.mark.parametrize("has_password", [True, False])
def test_request_that_deletes_nothing_costs_six_queries_at_most(
    page: Client, dora: User, *, has_password: bool
) -> None:
    new_todos(dora, each=3)
    EmailAddress.objects.create(user=dora, email="dora@example.com", primary=True)
    if not has_password:
        dora.set_unusable_password()
        dora.save()
        page.force_login(dora)
    asks: list[Callable[[], Any]] = [lambda: page.get(PAGE), lambda: confirm(page, "wrong")]
    for ask in asks:
        with CaptureQueriesContext(connection) as queries:
            assert "3 todos on your list" in text_of(ask())
        assert len(queries) <= 6


def test_goodbye_is_for_those_who_have_left(client: Client, page: Client) -> None:
    assert page.get(GOODBYE).headers["Location"] == "/"
    assert Client().get(GOODBYE).status_code == 200
