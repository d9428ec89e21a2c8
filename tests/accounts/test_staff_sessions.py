"""Staff log in again after hours; people stay in for weeks. And what the key of a session opens."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.contrib.auth.signals import user_logged_in
from django.test import Client
from django.utils import timezone

from accounts.models import Session, User
from tests.accounts.conftest import Events
from tests.accounts.people import PASSWORD, log_in, words
from tests.admin_pages import log_in_staff

ADMIN = "/admin/"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_superuser("boss", password=PASSWORD)


@pytest.fixture
def boss_client(client: Client, boss: User, clock: time_machine.Traveller) -> Client:
    assert log_in(client, "boss").status_code == 302
    return client


def is_in(client: Client) -> bool:
    return client.get(ADMIN).status_code == 200


def test_staff_who_do_nothing_are_logged_out_with_a_message(
    boss_client: Client, clock: time_machine.Traveller
) -> None:
    clock.shift(timedelta(minutes=59))
    assert is_in(boss_client)
    clock.shift(timedelta(minutes=60))
    answer = boss_client.get("/admin/todos/todo/", follow=True)
    assert "You were logged out, as you had not done anything for a while." in words(answer)
    assert answer.redirect_chain[-1][0].endswith("next=%2Fadmin%2Ftodos%2Ftodo%2F")
    assert Session.objects.count() == 0
    assert not UserSession.objects.exists()


def test_message_is_in_the_language_of_the_reader(
    boss: User, boss_client: Client, clock: time_machine.Traveller
) -> None:
    User.objects.update(language="de")
    clock.shift(timedelta(hours=2))
    page = boss_client.get(ADMIN, follow=True)
    assert "Du wurdest abgemeldet, weil du eine Weile nichts getan hast." in words(page)


def test_staff_who_are_busy_log_in_once_a_day(
    boss_client: Client, clock: time_machine.Traveller
) -> None:
    for _ in range(23):
        assert is_in(boss_client)
        clock.shift(timedelta(minutes=30))
    assert is_in(boss_client)
    clock.shift(timedelta(minutes=30))
    answer = boss_client.get(ADMIN, follow=True)
    assert "as staff, you are asked to log in again from time to time" in words(answer)


def test_page_that_refreshes_itself_keeps_nobody_logged_in(
    boss_client: Client, clock: time_machine.Traveller
) -> None:
    for _ in range(6):
        clock.shift(timedelta(minutes=10))
        answer = boss_client.get("/admin/background/", headers={"hx-request": "true"})
    assert answer.status_code == 302
    assert not is_in(boss_client)


def test_form_of_staff_whose_session_is_over_changes_nothing(
    boss_client: Client, clock: time_machine.Traveller
) -> None:
    clock.shift(timedelta(hours=13))
    form = {"username": "eve", "password1": "c0rrect horse", "password2": "c0rrect horse"}
    assert boss_client.post("/admin/accounts/user/add/", form).status_code == 302
    assert not User.objects.filter(username="eve").exists()


def test_people_stay_logged_in_for_weeks(anns: Client, clock: time_machine.Traveller) -> None:
    clock.shift(timedelta(days=13))
    assert anns.get("/preferences/").status_code == 200


def test_session_from_before_there_was_a_limit_begins_now(
    boss: User, client: Client, clock: time_machine.Traveller
) -> None:
    receivers, user_logged_in.receivers = user_logged_in.receivers, []
    client.force_login(boss)
    user_logged_in.receivers = receivers
    assert is_in(client)
    clock.shift(timedelta(hours=1))
    assert not is_in(client)


def test_log_says_why_a_session_ended(
    boss: User, boss_client: Client, clock: time_machine.Traveller, events: Events
) -> None:
    clock.shift(timedelta(hours=2))
    boss_client.get(ADMIN)
    logged = [event for event in events() if event["event"].startswith("staff session")]
    assert [(event["user_id"], event["reason"]) for event in logged] == [(boss.pk, "idle")]


# What a key opens


def test_key_of_a_session_changes_when_somebody_logs_in(ann: User, client: Client) -> None:
    client.get("/accounts/login/")
    client.session["planted"] = 1
    client.session.save()
    planted = client.session.session_key
    log_in(client)
    assert client.session.session_key != planted
    thief = Client()
    thief.cookies["sessionid"] = planted or ""
    assert thief.get("/preferences/").status_code == 302


def test_key_that_somebody_made_up_is_not_taken(ann: User, client: Client) -> None:
    client.cookies["sessionid"] = "a" * 32
    log_in(client)
    assert client.cookies["sessionid"].value != "a" * 32


def test_who_becomes_staff_logs_in_for_it(anns: Client, ann: User) -> None:
    superuser = Client()
    superuser.force_login(User.objects.create_superuser("boss"))
    page = f"/admin/accounts/user/{ann.pk}/change/"
    form = superuser.get(page).context["adminform"].form.initial
    fields = {name: value for name, value in form.items() if value not in (None, False)}
    for name in ("date_joined", "last_login"):
        moment = fields.pop(name)
        fields |= {f"{name}_0": f"{moment:%Y-%m-%d}", f"{name}_1": f"{moment:%H:%M:%S}"}
    assert superuser.post(page, {**fields, "is_staff": "on"}).status_code == 302
    assert anns.get("/preferences/").status_code == 302
    assert is_in(superuser)


def test_staff_with_few_permissions_are_limited_too(
    client: Client, db: None, clock: time_machine.Traveller
) -> None:
    log_in_staff(client, "view_todo")
    assert is_in(client)
    clock.shift(timedelta(hours=1))
    assert not is_in(client)
