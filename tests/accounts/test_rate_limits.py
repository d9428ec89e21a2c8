"""Guessing is slow: by address, by person, and from many places."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client

from accounts.models import User
from tests.accounts.conftest import Events
from tests.accounts.people import PASSWORD, log_in, path_in, sign_up, words

TOO_MANY = "Too many attempts have failed."


def test_one_address_may_guess_ten_times_a_minute(
    client: Client, ann: User, events: Events
) -> None:
    for number in range(10):
        assert "do not belong together" in words(log_in(client, f"somebody{number}", "wrong"))
    assert TOO_MANY in words(log_in(client))
    assert log_in(Client(), REMOTE_ADDR="192.0.2.1").status_code == 302
    assert events()[-2]["event"] == "log-in refused: too many attempts"


def test_one_person_is_guessed_at_ten_times_from_wherever(ann: User) -> None:
    for number in range(10):
        # Another host name, and other capitals, are no other person.
        host = {"REMOTE_ADDR": f"192.0.2.{number}", "HTTP_HOST": f"localhost:{8000 + number}"}
        log_in(Client(), "ann" if number % 2 else "Ann", "wrong", **host)
    there: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.99"}
    assert TOO_MANY in words(log_in(Client(), **there))
    assert "do not belong together" in words(log_in(Client(), "bob", **there))


def test_name_and_address_are_one_person_to_the_limit(ann: User) -> None:
    for number in range(10):
        name = "ann" if number % 2 else "Ann@Example.com"
        log_in(Client(), name, "wrong", REMOTE_ADDR=f"192.0.2.{number}")
    there: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.99"}
    for name in ("ann", "ann@example.com"):
        assert TOO_MANY in words(log_in(Client(), name, **there))


def test_new_password_ends_the_wait_of_its_owner_and_of_nobody_else(
    ann: User, mail_server: list[Any]
) -> None:
    eve = User.objects.create_user("eve", email="eve@example.com", password=PASSWORD)
    EmailAddress.objects.create(user=eve, email=ann.email)  # She has only asked for it.
    for number in range(10):
        for name in ("ann", "eve"):
            log_in(Client(), name, "wrong", REMOTE_ADDR=f"192.0.2.{number}")
    browser = Client()
    browser.post("/accounts/password/reset/", {"email": "eve@example.com"})
    page = browser.get(path_in(mail_server[0]), follow=True)
    new = "an0ther horse"
    browser.post(page.redirect_chain[-1][0], {"password1": new, "password2": new})
    assert log_in(Client(), "eve", new, REMOTE_ADDR="192.0.2.98").status_code == 302
    assert TOO_MANY in words(log_in(Client(), "ann", REMOTE_ADDR="192.0.2.99"))


def test_who_is_limited_is_told_the_same_whether_the_person_exists(ann: User) -> None:
    pages = set()
    for name in ("ann", "nobody"):
        browser = Client()
        for number in range(11):
            page = log_in(browser, name, "wrong", REMOTE_ADDR=f"192.0.2.{number}")
        pages.add(words(page))
    assert len(pages) == 1


def test_log_ins_that_succeed_are_not_counted_as_guesses(ann: User) -> None:
    for _ in range(12):
        assert log_in(Client()).status_code == 302


def test_address_that_floods_the_log_in_gets_a_page_that_says_so(client: Client, db: None) -> None:
    pages = [log_in(client, "", "") for _ in range(31)]
    assert [page.status_code for page in pages] == [200] * 30 + [429]
    assert "Too many attempts" in words(pages[-1])
    assert client.get("/accounts/login/").status_code == 200


def test_sign_ups_of_one_address_are_limited(client: Client, db: None) -> None:
    for number in range(11):
        page = sign_up(Client(), f"person{number}")
    assert page.status_code == 429
    assert User.objects.count() == 10


def test_addresses_of_one_ipv6_network_count_as_one(ann: User) -> None:
    for number in range(10):
        log_in(Client(), f"somebody{number}", "wrong", REMOTE_ADDR=f"2001:db8::{number + 1}")
    assert TOO_MANY in words(log_in(Client(), REMOTE_ADDR="2001:db8::ffff"))


def test_mails_to_one_address_are_limited(mail_server: list[Any]) -> None:
    for number in range(5):
        browser = Client(REMOTE_ADDR=f"192.0.2.{number}")
        page = browser.post("/accounts/password/reset/", {"email": "ann@example.com"})
    assert page.status_code == 429
    assert len(mail_server) == 3


def test_second_factor_is_guessed_at_a_few_times_alone(
    client: Client, ann: User, events: Events
) -> None:
    TOTP.activate(ann, generate_totp_secret())
    log_in(client)
    for _ in range(10):
        client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    page = client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert TOO_MANY in words(page)
    assert events()[-1]["event"] == "log-in refused: too many attempts"
