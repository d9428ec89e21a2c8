"""Logging in and out: by name or address, with nothing revealed, and led to no other site."""

import re
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.models import Session, User
from accounts.pages.clients import UNKNOWN, address_of
from tests.accounts.conftest import Events
from tests.accounts.people import PASSWORD, log_in, words

SECRETS = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')


def who(client: Client) -> str:
    """Return the name of who is logged in; empty if nobody is."""
    user = client.get("/accounts/logout/").wsgi_request.user
    return user.get_username()


@pytest.mark.parametrize("name", ["ann", "ANN", "ann@example.com", "Ann@Example.com", " ann "])
def test_log_in_takes_the_user_name_or_the_address(client: Client, ann: User, name: str) -> None:
    answer = log_in(client, name)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert who(client) == "ann"


def test_people_whose_names_differ_in_capitals_alone_log_in_each_as_themselves(
    client: Client, ann: User
) -> None:
    User.objects.create_user("Ann", password="an0ther horse")
    log_in(client, "Ann", "an0ther horse")
    assert who(client) == "Ann"
    other = Client()
    log_in(other, "ann")
    assert who(other) == "ann"


def test_name_that_is_somebodys_address_keeps_nobody_out(client: Client, ann: User) -> None:
    User.objects.create_user("ann@example.com", password="an0ther horse")
    log_in(client, "ann@example.com")
    assert who(client) == "ann"


def test_person_whose_name_is_somebodys_address_proves_who_they_are(
    client: Client, ann: User
) -> None:
    other = User.objects.create_user("ann@example.com", password="an0ther horse")
    client.force_login(other)
    again = {"password": "an0ther horse"}
    assert client.post("/accounts/reauthenticate/", again).status_code == 302
    assert client.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code == 200


def test_log_in_asks_the_database_a_few_questions(client: Client, ann: User) -> None:
    for name in ("ann@example.com", "ann", "nobody@example.com"):
        with CaptureQueriesContext(connection) as queries:
            log_in(Client(), name, "wrong")
        assert len(queries) <= 6


def test_wrong_password_and_unknown_name_look_the_same(client: Client, ann: User) -> None:
    pages = {}
    for name in ("ann", "nobody", "ann@example.com", "nobody@example.com"):
        page = log_in(client, name, "wrong")
        text = SECRETS.sub("", page.content.decode()).replace(f'"{name}"', "")
        pages[name] = (page.status_code, text)
        assert "do not belong together" in words(page)
    assert len(set(pages.values())) == 1


@pytest.mark.parametrize("name", ["ann", "nobody", "ann@example.com", "nobody@example.com", "x"])
def test_one_password_is_hashed_whoever_is_named(
    client: Client, ann: User, hashed: list[str], name: str
) -> None:
    User.objects.create_user("x")  # Has no password.
    del hashed[:]
    log_in(client, name, "wrong")
    assert len(hashed) == 1


def test_account_that_is_switched_off_is_told_to_who_knows_the_password_alone(
    client: Client, ann: User
) -> None:
    User.objects.update(is_active=False)
    assert "do not belong together" in words(log_in(client, password="wrong"))
    assert log_in(client).headers["Location"] == "/accounts/inactive/"
    assert "switched off" in words(client.get("/accounts/inactive/"))
    assert who(client) == ""


def test_person_who_is_logged_in_is_led_home_from_the_log_in_page(anns: Client) -> None:
    for path in ("/accounts/login/", "/accounts/signup/"):
        assert anns.get(path).headers["Location"] == "/"


@pytest.mark.parametrize("next_page", ["/trash/", "/preferences/?a=b"])
def test_log_in_leads_to_where_one_wanted_to_go(client: Client, ann: User, next_page: str) -> None:
    page = client.get(f"/accounts/login/?next={quote(next_page)}")
    assert next_page in page.content.decode()
    form = {"login": "ann", "password": PASSWORD, "next": next_page}
    assert client.post("/accounts/login/", form).headers["Location"] == next_page


@pytest.mark.parametrize(
    "next_page",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "http://testserver.evil.example/",
        "http://localhost/",
        "javascript:alert(1)",
        "https:/evil.example",
        "///evil.example",
        "x7q",
        "a:b",
        "%",
    ],
)
def test_nothing_leads_to_another_site(anns: Client, ann: User, next_page: str) -> None:
    anns.get(f"/accounts/login/?next={quote(next_page)}")
    assert anns.post("/accounts/logout/", {"next": next_page}).headers["Location"] == "/"
    form = {"login": "ann", "password": PASSWORD, "next": next_page}
    assert anns.post("/accounts/login/", form).headers["Location"] == "/"
    assert anns.get("/accounts/signup/", {"next": next_page}).headers["Location"] == "/"
    again = {"password": PASSWORD, "next": next_page}
    assert anns.post("/accounts/reauthenticate/", again).headers["Location"] == "/"


def test_logging_out_needs_a_form(anns: Client) -> None:
    assert "Log out?" in words(anns.get("/accounts/logout/"))
    assert who(anns) == "ann"
    strict = Client(enforce_csrf_checks=True, headers={"cookie": ""})
    strict.cookies = anns.cookies
    refused = strict.post("/accounts/logout/")
    assert refused.status_code == 403
    assert "grown old" in words(refused)
    assert who(anns) == "ann"

    assert anns.post("/accounts/logout/").headers["Location"] == "/"
    assert who(anns) == ""
    assert not Session.objects.filter(user__isnull=False).exists()


def test_log_in_renews_the_session(client: Client, ann: User) -> None:
    planted = client.session
    planted["seen"] = "before"
    planted.save()
    client.cookies["sessionid"] = planted.session_key or ""
    log_in(client)
    assert client.cookies["sessionid"].value != planted.session_key
    assert not Session.objects.filter(pk=planted.session_key).exists()
    assert who(client) == "ann"


# The admin's


def test_admins_log_in_neither_checks_a_password_nor_forgets_where_one_wants_to_go(
    client: Client, admin_user: User, hashed: list[str]
) -> None:
    del hashed[:]
    form = {"username": "admin", "password": "password", "next": "/admin/todos/todo/?q=a&p=2"}
    for address, data in (
        ("/admin/login/", form),
        (f"/admin/login/?next={quote(form['next'])}", {}),
    ):
        there = urlsplit(client.post(address, data).headers["Location"])
        assert there.path == "/accounts/login/"
        assert parse_qs(there.query)["next"] == [form["next"]]
    assert who(client) == ""
    assert not hashed


def test_staff_who_log_in_are_led_to_the_admin_and_out_of_it(
    client: Client, admin_user: User
) -> None:
    asked = client.get("/admin/todos/todo/", follow=True)
    form = {"login": "admin", "password": "password", "next": "/admin/todos/todo/"}
    assert asked.redirect_chain[-1][0].startswith("/accounts/login/")
    assert client.post("/accounts/login/", form).headers["Location"] == "/admin/todos/todo/"
    assert client.get("/admin/todos/todo/").status_code == 200
    assert client.get("/admin/login/").headers["Location"] == "/admin/"
    assert client.post("/admin/logout/").status_code == 200
    assert client.get("/admin/").status_code == 302
    assert who(client) == ""


def test_person_who_is_no_staff_is_told_so_at_the_admin_and_not_sent_around(anns: Client) -> None:
    page = anns.get("/admin/", follow=True)
    assert page.status_code == 403
    assert len(page.redirect_chain) == 1
    assert "You are logged in as ann, who may not see it." in words(page)


def test_staff_change_their_password_as_everybody_does(admin_client: Client) -> None:
    answer = admin_client.get("/admin/password_change/")
    assert answer.headers["Location"] == "/accounts/password/change/"


# The log


def test_log_in_and_out_are_logged_with_the_id_and_the_address(
    client: Client, ann: User, events: Events
) -> None:
    log_in(client, "ann@example.com", REMOTE_ADDR="192.0.2.7")
    client.post("/accounts/logout/", REMOTE_ADDR="192.0.2.7")
    first, second = events()
    assert (first["event"], first["by"]) == ("logged in", "password")
    assert second["event"] == "logged out"
    for event in (first, second):
        assert (event["user_id"], event["client"]) == (ann.pk, "192.0.2.7")
    assert "ann" not in str(events())


@pytest.mark.parametrize("name", ["ann", "ann@example.com"])
def test_failed_log_in_is_logged_without_the_password(
    client: Client, ann: User, events: Events, name: str
) -> None:
    log_in(client, name, "wrong secret")
    (event,) = events()
    assert (event["event"], event["user_id"]) == ("log-in failed", ann.pk)
    assert "wrong" not in str(event)


def test_failed_log_in_of_nobody_is_logged_without_what_was_typed(
    client: Client, ann: User, events: Events
) -> None:
    log_in(client, PASSWORD, "wrong secret")  # The password, in the wrong field.
    (event,) = events()
    assert (event["event"], event["user_id"]) == ("log-in failed", None)
    assert "horse" not in str(event)


def test_right_password_of_an_account_that_is_switched_off_is_logged(
    client: Client, ann: User, events: Events
) -> None:
    User.objects.update(is_active=False)
    log_in(client)
    (event,) = events()
    assert (event["event"], event["user_id"]) == ("log-in refused: inactive", ann.pk)


@pytest.mark.parametrize(
    ("trusted", "forwarded", "remote", "client_address"),
    [
        (0, "203.0.113.9", "192.0.2.1", "192.0.2.1"),
        (1, "203.0.113.9", "192.0.2.1", "203.0.113.9"),
        (1, "198.51.100.1, 203.0.113.9", "192.0.2.1", "203.0.113.9"),
        (2, "198.51.100.1, 203.0.113.9", "192.0.2.1", "198.51.100.1"),
        (2, "203.0.113.9", "192.0.2.1", "192.0.2.1"),
        (1, "203.0.113.9:1234", "192.0.2.1", "203.0.113.9"),
        (1, "", "192.0.2.1", "192.0.2.1"),
        (1, "<script>", "192.0.2.1", "192.0.2.1"),
        (1, "<script>", "", UNKNOWN),
        (0, "", "", UNKNOWN),
        (0, "", "/run/web.sock", UNKNOWN),
        (0, "", "fe80::1%eth0", "fe80::1"),
        (0, "", "::ffff:192.0.2.1", "192.0.2.1"),
        (1, "[2001:db8::1]:443", "", "2001:db8::1"),
    ],
)
def test_address_is_that_which_the_trusted_proxies_report(
    settings: Settings, trusted: int, forwarded: str, remote: str, client_address: str
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = trusted
    request = RequestFactory().get("/", REMOTE_ADDR=remote)
    if forwarded:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    assert address_of(request) == client_address


def test_request_without_an_address_is_no_trouble(
    client: Client, ann: User, events: Events, settings: Settings
) -> None:
    assert address_of(HttpRequest()) == UNKNOWN
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
    nowhere: Any = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "nonsense"}
    assert log_in(client, **nowhere).status_code == 302
    assert client.get("/accounts/sessions/", **nowhere).status_code == 200
    assert events()[0]["client"] == UNKNOWN
