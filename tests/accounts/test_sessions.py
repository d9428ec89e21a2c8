"""Where a person is logged in: shown in plain words, ended by them alone, cleared at night."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services
from accounts.models import Session, User
from accounts.pages.clients import browser_of
from accounts.services import SessionService
from tasks.actors import sessions_clear
from tests.accounts.people import log_in, words

PAGE = "/accounts/sessions/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)


def visit(user_agent: str, **more: Any) -> Client:
    """Log Ann in with a browser of her own."""
    browser = Client(headers={"user-agent": user_agent})
    assert log_in(browser, **more).status_code == 302
    return browser


def session_of(client: Client) -> int:
    """Return the id by which a browser's session can be ended."""
    key = client.cookies["sessionid"].value
    pk: int = UserSession.objects.get(session_key=key).pk
    return pk


def is_logged_in(client: Client) -> bool:
    return client.get("/preferences/").status_code == 200


@pytest.mark.parametrize(
    ("user_agent", "shown"),
    [
        (FIREFOX, "Firefox on Linux"),
        (IPHONE, "Safari on iPhone"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/139.0.0.0",
            "Edge on Windows",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("curl/8.5.0", "Unknown browser"),
        ("", "Unknown browser"),
        ("<script>", "Unknown browser"),
    ],
)
def test_browser_is_told_in_plain_words(user_agent: str, shown: str) -> None:
    assert browser_of(user_agent) == shown


def test_page_shows_where_one_is_logged_in_this_device_first(ann: User) -> None:
    visit(IPHONE, REMOTE_ADDR="192.0.2.7")
    this = visit(FIREFOX)
    visit("x" * 500)
    page = words(this.get(PAGE))
    assert page.index("Firefox on Linux This device.") < page.index("Safari on iPhone")
    assert "From 192.0.2.7." in page
    assert page.count("Since") == 3


def test_one_session_is_ended(ann: User) -> None:
    phone, this = visit(IPHONE), visit(FIREFOX)
    answer = this.post(f"{PAGE}{session_of(phone)}/end/")
    assert answer.headers["Location"] == PAGE
    assert not is_logged_in(phone)
    page = words(this.get(PAGE))
    assert "That device is logged out." in page
    assert "iPhone" not in page


def test_all_others_are_ended_at_once(ann: User, bob: User) -> None:
    phone, this, bobs = visit(IPHONE), visit(FIREFOX), Client()
    bobs.force_login(bob)
    this.post(f"{PAGE}end-others/")
    assert not is_logged_in(phone)
    assert is_logged_in(this)
    assert is_logged_in(bobs)
    assert words(this.get(PAGE)).count("Since") == 1


def test_session_of_somebody_else_is_not_found(client: Client, ann: User, bob: User) -> None:
    anns = visit(FIREFOX)
    client.force_login(bob)
    for session_id in (session_of(anns), 0, 999_999_999_999):
        assert client.post(f"{PAGE}{session_id}/end/").status_code == 404
    assert is_logged_in(anns)


def test_ending_a_session_needs_a_form(ann: User) -> None:
    this = visit(FIREFOX)
    for path in ("end-others/", f"{session_of(visit(IPHONE))}/end/"):
        assert this.get(PAGE + path).status_code == 405
    assert words(this.get(PAGE)).count("Since") == 2


def test_ending_this_session_logs_out(ann: User) -> None:
    this = visit(FIREFOX)
    this.post(f"{PAGE}{session_of(this)}/end/")
    assert not is_logged_in(this)


def test_session_that_ended_with_a_password_set_elsewhere_is_not_shown(ann: User) -> None:
    visit(IPHONE)
    ann.set_password("an0ther horse")  # As `manage.py changepassword` does.
    ann.save()
    page = words(visit(FIREFOX, password="an0ther horse").get(PAGE))
    assert "iPhone" not in page


def test_session_from_before_an_upgrade_is_shown_and_ends_with_the_others(ann: User) -> None:
    old = Client()
    old.force_login(ann)
    this = visit(FIREFOX)
    assert "Unknown browser" in words(this.get(PAGE))
    this.post(f"{PAGE}end-others/")
    assert not is_logged_in(old)


def test_log_in_and_page_cost_the_same_however_many_sessions_there_are(ann: User) -> None:
    visit(FIREFOX)
    few = queries_of_a_visit()
    for _ in range(20):
        visit(IPHONE)
    assert queries_of_a_visit() == few
    assert few["page"] <= 6


def queries_of_a_visit() -> dict[str, int]:
    """Return how many queries a log-in takes, and the page."""
    with CaptureQueriesContext(connection) as logging_in:
        browser = visit(FIREFOX)
    with CaptureQueriesContext(connection) as showing:
        browser.get(PAGE)
    return {"log-in": len(logging_in), "page": len(showing)}


# Clearing


def test_sessions_that_have_expired_are_cleared_in_batches_and_no_other(
    ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "CLEARED_ROWS", 2)
    expired = [visit(FIREFOX) for _ in range(5)]
    keys = [browser.cookies["sessionid"].value for browser in expired]
    long_ago = timezone.now() - timedelta(days=1)
    Session.objects.filter(pk__in=keys).update(expire_date=long_ago)
    UserSession.objects.update(created_at=long_ago)
    this = visit(IPHONE)

    assert sessions_clear() == {"sessions": 5, "session_details": 5}

    assert is_logged_in(this)
    assert "Safari on iPhone" in words(this.get(PAGE))
    assert Session.objects.count() == UserSession.objects.count() == 1
    assert SessionService.clear() == {"sessions": 0, "session_details": 0}


def test_what_is_known_of_a_session_goes_with_it(ann: User) -> None:
    this = visit(FIREFOX)
    this.post("/accounts/logout/")
    assert not UserSession.objects.exists()
    assert not Session.objects.filter(user=ann).exists()


def test_session_that_has_just_begun_is_not_taken_for_one_that_is_gone(ann: User) -> None:
    UserSession.objects.create(user=ann, ip="192.0.2.1", session_key="on its way")
    assert SessionService.clear()["session_details"] == 0
