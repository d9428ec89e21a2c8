"""The second factor: an authenticator app and recovery codes; asked of staff by a setting."""

import re
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.models import User
from tests.accounts.conftest import Events
from tests.accounts.people import PASSWORD, confirm_password, log_in, words
from tests.admin_pages import Page, log_in_staff

ACTIVATE = "/accounts/2fa/totp/activate/"
AUTHENTICATE = "/accounts/2fa/authenticate/"
INDEX = "/accounts/2fa/"


#: What no browser sends as a passkey.
NONSENSE = (
    *("", "{}", "[]", "1", '"x"', "null", "[[]]", '{"response": []}', '{"id": "x"}'),
    *('{"id": 1, "rawId": {}}', '{"response": {"userHandle": null}}'),
    *('{"response": {"userHandle": "!"}}', '{"response": {"userHandle": []}}'),
)


def code_for(secret: str) -> str:
    """Return what an authenticator app shows now."""
    *_, counter = yield_hotp_counters_from_time()
    code: str = format_hotp_value(hotp_value(secret, counter))
    return code


def set_up_app(client: Client) -> str:
    """Set up an authenticator app as people do; return its secret."""
    confirm_password(client)
    page = client.get(ACTIVATE)
    found = re.search(r'class="secret">(\w+)<', page.content.decode())
    assert found
    answer = client.post(ACTIVATE, {"code": code_for(found[1])})
    assert answer.headers["Location"] == "/accounts/2fa/recovery-codes/", words(answer)
    return found[1]


def recovery_codes(client: Client) -> list[str]:
    """Return the recovery codes as their page shows them."""
    page = client.get("/accounts/2fa/recovery-codes/").content.decode()
    return re.findall(r"<code>(\d+)</code>", page)


def is_logged_in(client: Client) -> bool:
    return client.get("/preferences/").status_code == 200


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_superuser("boss", password=PASSWORD)


def test_app_is_set_up_with_a_picture_that_the_policy_allows(anns: Client, ann: User) -> None:
    asked = anns.get(ACTIVATE)
    assert asked.headers["Location"].startswith("/accounts/reauthenticate/?next=")
    confirm_password(anns)
    page = anns.get(ACTIVATE)
    html = page.content.decode()
    assert '<svg class="qr" role="img" aria-label="QR code"' in html
    assert not Page(html).blocked
    assert "data:" not in html
    set_up_app(anns)
    assert len(recovery_codes(anns)) == 10
    assert "In use." in words(anns.get(INDEX))


@pytest.mark.django_db(transaction=True)
def test_log_in_asks_for_the_code_of_the_app(anns: Client, ann: User, events: Events) -> None:
    with time_machine.travel("2026-11-01 12:00Z", tick=False) as clock:
        secret = set_up_app(anns)
        browser = Client()
        assert log_in(browser).headers["Location"] == AUTHENTICATE
        assert not is_logged_in(browser)
        clock.shift(300)
        wrong = browser.post(AUTHENTICATE, {"code": "000000"})
        assert "This is not right, or no longer." in words(wrong)
        assert not is_logged_in(browser)
        code = code_for(secret)
        assert browser.post(AUTHENTICATE, {"code": code}).headers["Location"] == "/"
        assert is_logged_in(browser)

        again = Client()
        log_in(again)
        again.post(AUTHENTICATE, {"code": code})
        assert not is_logged_in(again), "a code serves once"
    logged = [(event["event"], event.get("kind") or event.get("by")) for event in events()]
    assert logged == [
        ("second factor added", "totp"),
        ("second factor added", "recovery_codes"),
        ("second factor failed", None),
        ("logged in", "password totp"),
        ("second factor failed", None),
    ]
    assert {event["user_id"] for event in events()} == {ann.pk}


def test_log_in_goes_on_to_where_one_wanted_to_go_and_can_be_cancelled(
    anns: Client, ann: User
) -> None:
    secret = set_up_app(anns)
    browser = Client()
    browser.post("/accounts/login/", {"login": "ann", "password": PASSWORD, "next": "/trash/"})
    assert browser.get("/accounts/login/").headers["Location"] == AUTHENTICATE
    answer = browser.post("/accounts/logout/", {"next": "/accounts/login/"})
    assert answer.headers["Location"] == "/accounts/login/"
    assert browser.get("/accounts/login/").status_code == 200
    browser.post("/accounts/login/", {"login": "ann", "password": PASSWORD, "next": "/trash/"})
    (code,) = {code_for(secret)}
    assert browser.post(AUTHENTICATE, {"code": code}).headers["Location"] == "/trash/"


def test_recovery_code_serves_once(anns: Client, ann: User) -> None:
    set_up_app(anns)
    code = recovery_codes(anns)[0]
    for logs_in in (True, False):
        browser = Client()
        log_in(browser)
        browser.post(AUTHENTICATE, {"code": code})
        assert is_logged_in(browser) is logs_in
    assert code not in recovery_codes(anns)
    saved = anns.get("/accounts/2fa/recovery-codes/download/")
    assert saved.content.decode().split() == recovery_codes(anns)


def test_new_recovery_codes_take_the_place_of_the_old(anns: Client, ann: User) -> None:
    set_up_app(anns)
    old = recovery_codes(anns)
    assert "stop working" in words(anns.get("/accounts/2fa/recovery-codes/generate/"))
    anns.post("/accounts/2fa/recovery-codes/generate/")
    assert not set(old) & set(recovery_codes(anns))


def test_app_is_switched_off_by_who_knows_the_password_alone(anns: Client, ann: User) -> None:
    set_up_app(anns)
    browser = Client()
    log_in(browser)
    browser.post(AUTHENTICATE, {"code": recovery_codes(anns)[0]})
    asked = browser.post("/accounts/2fa/totp/deactivate/")
    assert asked.headers["Location"].startswith("/accounts/reauthenticate/?next=")
    confirm_password(browser)
    browser.post("/accounts/2fa/totp/deactivate/")
    assert not Authenticator.objects.exists()
    assert log_in(Client()).headers["Location"] == "/"


@pytest.mark.parametrize("credential", NONSENSE)
def test_passkey_that_is_none_is_refused(client: Client, ann: User, credential: str) -> None:
    client.get("/accounts/2fa/webauthn/login/", headers={"accept": "application/json"})
    answer = client.post("/accounts/2fa/webauthn/login/", {"credential": credential})
    assert answer.headers["Location"] == "/accounts/login/"
    assert not is_logged_in(client)
    log_in(client)
    confirm_password(client)
    client.get("/accounts/2fa/webauthn/add/")
    page = client.post("/accounts/2fa/webauthn/add/", {"name": "x", "credential": credential})
    assert page.status_code == 200
    assert not Authenticator.objects.exists()


def test_passkey_of_somebody_else_is_not_found(anns: Client, bob: User) -> None:
    bobs = Authenticator.objects.create(
        user=bob, type=Authenticator.Type.WEBAUTHN, data={"name": "Bob's", "credential": {}}
    )
    confirm_password(anns)
    for verb in ("edit", "remove"):
        path = f"/accounts/2fa/webauthn/keys/{bobs.pk}/{verb}/"
        assert anns.get(path).status_code == 404
        assert anns.post(path, {"name": "Mine"}).status_code == 404
    bobs.refresh_from_db()
    assert bobs.data["name"] == "Bob's"


# Staff


def test_staff_are_asked_for_no_second_factor_unless_the_setting_says_so(
    client: Client, staff: User
) -> None:
    log_in(client, "boss")
    with CaptureQueriesContext(connection) as without:
        assert client.get("/admin/").status_code == 200
    assert not [query for query in without if "authenticator" in query["sql"]]


@pytest.mark.django_db(transaction=True)
def test_staff_without_a_second_factor_are_led_to_where_they_set_one_up(
    client: Client, staff: User, settings: Settings
) -> None:
    settings.ACCOUNTS_STAFF_SECOND_FACTOR = True
    log_in(client, "boss")
    for path in ("/admin/", "/admin/background/", "/admin/accounts/user/"):
        page = client.get(path, follow=True)
        assert page.redirect_chain == [(INDEX, 302)]
        assert "The admin asks staff for a second factor." in words(page)
    assert client.get("/").status_code == 200, "the rest of the site is open"

    set_up_app(client)
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/admin/").status_code == 200
    assert not [query for query in queries if "authenticator" in query["sql"]]
    assert client.post("/admin/logout/").status_code == 200


def test_staff_may_leave_the_admin_without_a_second_factor(
    client: Client, staff: User, settings: Settings
) -> None:
    settings.ACCOUNTS_STAFF_SECOND_FACTOR = True
    log_in(client, "boss")
    assert client.post("/admin/logout/").status_code == 200
    assert not is_logged_in(client)


def test_session_from_before_the_second_factor_proves_it_once(
    client: Client, staff: User, settings: Settings
) -> None:
    log_in(client, "boss")
    elsewhere = Client()
    log_in(elsewhere, "boss")
    set_up_app(elsewhere)
    code = recovery_codes(elsewhere)[0]
    settings.ACCOUNTS_STAFF_SECOND_FACTOR = True
    asked = client.get("/admin/todos/todo/").headers["Location"]
    assert asked == "/accounts/2fa/reauthenticate/?next=%2Fadmin%2Ftodos%2Ftodo%2F"
    answer = client.post(asked, {"code": code})
    assert answer.headers["Location"] == "/admin/todos/todo/"
    assert client.get("/admin/todos/todo/").status_code == 200


def test_second_factor_of_one_person_counts_for_no_other(
    client: Client, staff: User, ann: User, settings: Settings
) -> None:
    settings.ACCOUNTS_STAFF_SECOND_FACTOR = True
    anns = Client()
    log_in(anns)
    set_up_app(anns)
    code = recovery_codes(anns)[0]
    User.objects.filter(pk=ann.pk).update(is_active=True)
    log_in(client)
    User.objects.filter(pk=ann.pk).update(is_active=False)
    client.post(AUTHENTICATE, {"code": code})  # Proved, and yet not logged in.
    log_in(client, "boss")
    assert client.get("/admin/").headers["Location"] == INDEX


def test_staff_who_give_up_the_second_factor_are_asked_again(
    client: Client, staff: User, settings: Settings
) -> None:
    settings.ACCOUNTS_STAFF_SECOND_FACTOR = True
    log_in(client, "boss")
    set_up_app(client)
    client.post("/accounts/2fa/totp/deactivate/")
    assert client.get("/admin/").headers["Location"] == INDEX


def test_proof_of_a_second_factor_that_is_removed_counts_nowhere(
    client: Client, staff: User, settings: Settings
) -> None:
    settings.ACCOUNTS_STAFF_SECOND_FACTOR = True
    log_in(client, "boss")
    set_up_app(client)
    elsewhere = Client()
    log_in(elsewhere, "boss")
    elsewhere.post(AUTHENTICATE, {"code": recovery_codes(client)[0]})
    assert elsewhere.get("/admin/").status_code == 200
    client.post("/accounts/2fa/totp/deactivate/")
    assert is_logged_in(client)
    assert not is_logged_in(elsewhere)


def test_person_who_is_no_staff_is_not_asked(anns: Client, settings: Settings) -> None:
    settings.ACCOUNTS_STAFF_SECOND_FACTOR = True
    assert anns.get("/admin/", follow=True).status_code == 403
    assert is_logged_in(anns)


def test_secrets_are_in_no_log(anns: Client, ann: User, events: Events) -> None:
    secret: Any = set_up_app(anns)
    codes = recovery_codes(anns)
    assert not [word for word in (secret, *codes) if word in str(events())]


def test_staff_help_who_has_lost_the_second_factor(
    admin_client: Client, anns: Client, ann: User, alice: User
) -> None:
    set_up_app(anns)
    chosen = {"action": "remove_second_factor", "_selected_action": [ann.pk, alice.pk]}
    page = admin_client.post("/admin/accounts/user/", chosen, follow=True)
    assert "Second factor removed: 1 user." in words(page)
    assert not is_logged_in(anns), "its proof is no more"
    assert log_in(Client()).headers["Location"] == "/"
    assert not Authenticator.objects.exists()


def test_staff_help_no_other_staff_out_of_a_second_factor(
    client: Client, staff: User, anns: Client
) -> None:
    boss = Client()
    log_in(boss, "boss")
    set_up_app(boss)
    helper = Client()
    log_in_staff(helper, "view_user", "change_user")
    chosen = {"action": "remove_second_factor", "_selected_action": [staff.pk]}
    assert helper.post("/admin/accounts/user/", chosen).status_code == 403
    assert Authenticator.objects.filter(user=staff).exists()


def test_admin_shows_no_secrets(admin_client: Client, db: None) -> None:
    page = words(admin_client.get("/admin/"))
    assert "Authenticator" not in page
    assert "session" not in page.lower()
    assert admin_client.get("/admin/mfa/authenticator/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_key_of_a_session_that_proves_a_second_factor_opens_no_admin(
    staff: User, settings: Settings
) -> None:
    settings.ACCOUNTS_STAFF_SECOND_FACTOR = True
    client, thief = Client(), Client()
    log_in(client, "boss")
    thief.cookies["sessionid"] = client.cookies["sessionid"].value
    set_up_app(client)
    assert client.get("/admin/").status_code == 200
    assert not is_logged_in(thief)
    assert "This device." in words(client.get("/accounts/sessions/"))
