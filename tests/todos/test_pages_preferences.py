"""The page of preferences: what it says, what it saves, and what it does not take back."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.models import User
from accounts.services import UserService
from tests.examples import examples
from tests.factories import AS_OF, new_todo, new_todos
from tests.todos.forms import form_with
from todos.models import Todo
from todos.pages.keep_choices import OFFERED_DAYS, as_preferences
from todos.services import TodoService

PAGE = "/preferences/"
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def at_two(after: datetime) -> datetime | None:
    """A cleanup daily at 02:00 UTC."""
    slot = after.astimezone(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    return slot if slot > after else slot + DAY


def at_three_in_the_afternoon(after: datetime) -> datetime | None:
    slot = at_two(after - timedelta(hours=13))
    return slot and slot + timedelta(hours=13)


def never(_: datetime) -> datetime | None:
    return None


@pytest.fixture(autouse=True)
def _site(settings: Settings) -> None:
    """A site with a mail server that cleans up at night."""
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.TODO_NEXT_CLEANUP = f"{__name__}.at_two"


@pytest.fixture
def page(client: Client, alice: User) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


def shown(client: Client, path: str = PAGE) -> str:
    """Return the text of a page as a person reads it."""
    response = client.get(path)
    assert response.status_code == 200
    return text_of(response.content)


def text_of(content: bytes) -> str:
    main = content.decode().split("<main", 1)[1]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())


def choices(client: Client) -> dict[str, str]:
    """Return the words of each way to keep completed todos, by what it posts."""
    content = client.get(PAGE).content.decode()
    found = re.findall(r'name="keep" value="(\w+)"[^>]*>\s*(.*?)\s*</label>', content, re.DOTALL)
    return {value: " ".join(re.sub(r"<[^>]*>", "", words).split()) for value, words in found}


def save(client: Client, *, without: str = "", **changes: str) -> Any:
    """Change some fields of the page as it is shown now, and save."""
    fields = {**form_with("keep", client.get(PAGE).content), **changes}
    fields.pop(without, None)
    return client.post(PAGE, fields)


def confirm_address(user: User) -> None:
    user.email = "alice@example.com"
    user.save()
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)


def test_each_way_to_keep_says_what_it_takes_tonight(page: Client, alice: User) -> None:
    now = timezone.now()
    for days, number in ((1, 3), (20, 2), (50, 4), (100, 5)):
        new_todos(alice, each=number, completed_at=now - days * DAY)
    new_todos(alice, each=9, completed_at=None)

    assert choices(page) == {
        "site": "As this site has it: they leave with the next cleanup tonight this takes 14 todos",
        "0": "They leave with the next cleanup tonight this takes 14 todos",
        "7": "They leave after 7 days tonight this takes 11 todos",
        "30": "They leave after 30 days tonight this takes 9 todos",
        "90": "They leave after 90 days tonight this takes 5 todos",
        "ever": "They stay for ever tonight this takes nothing",
    }
    assert form_with("keep", page.get(PAGE).content)["keep"] == "site"


def test_site_says_how_long_it_keeps(page: Client, alice: User, settings: Settings) -> None:
    settings.TODO_KEEP_COMPLETED_DAYS = 1
    new_todo(alice, completed_at=timezone.now() - 3 * DAY)
    assert choices(page)["site"] == (
        "As this site has it: they leave after 1 day tonight this takes 1 todo"
    )


def test_number_that_staff_have_set_is_a_choice_and_is_not_lost(page: Client, alice: User) -> None:
    UserService.set_preferences(user=alice, keep_completed_days=14)
    assert choices(page)["14"].startswith("They leave after 14 days")

    save(page, theme="dark")
    alice.refresh_from_db()
    assert (alice.keep_completed_days, alice.theme) == (14, "dark")

    save(page, keep="ever")
    alice.refresh_from_db()
    assert not alice.auto_cleanup
    save(page, keep="14")
    alice.refresh_from_db()
    assert (alice.auto_cleanup, alice.keep_completed_days) == (True, 14)


def test_paused_cleanup_is_said_and_previews_nothing(
    page: Client, alice: User, settings: Settings
) -> None:
    settings.TODO_NEXT_CLEANUP = f"{__name__}.never"
    new_todo(alice)
    assert "The nightly cleanup is paused on this site: nothing leaves" in shown(page)
    assert choices(page)["0"] == "They leave with the next cleanup"


def test_cleanup_by_day_is_not_called_tonight(page: Client, settings: Settings) -> None:
    settings.TODO_NEXT_CLEANUP = f"{__name__}.at_three_in_the_afternoon"
    said = "They leave with the next cleanup (today|tomorrow) at 15:00 this takes nothing"
    assert re.fullmatch(said, choices(page)["0"])


@pytest.mark.parametrize(
    ("days", "words"),
    [(30, "waits in the trash for 30 days"), (0, "is gone for good: this site has no trash")],
)
def test_page_says_where_it_leaves_to(
    page: Client, settings: Settings, days: int, words: str
) -> None:
    settings.TODO_TRASH_DAYS = days
    assert words in shown(page)


@pytest.mark.parametrize(
    ("keep", "words", "saved"),
    [
        ("0", "From now on completed todos leave with the next cleanup.", (True, 0)),
        ("7", "From now on completed todos leave after 7 days.", (True, 7)),
        ("ever", "From now on completed todos stay for ever.", (False, None)),
    ],
)
def test_saved_choice_is_reported_in_words_and_can_be_undone(
    page: Client, alice: User, keep: str, words: str, saved: tuple[bool, int | None]
) -> None:
    response = save(page, keep=keep)
    assert (response.status_code, response.headers["Location"]) == (302, PAGE)
    alice.refresh_from_db()
    assert (alice.auto_cleanup, alice.keep_completed_days) == saved
    content = page.get(PAGE).content
    assert f"Saved. {words}" in text_of(content)

    page.post(PAGE, form_with("next", content))

    alice.refresh_from_db()
    assert (alice.auto_cleanup, alice.keep_completed_days) == (True, None)
    assert "Saved. From now on completed todos leave with the next cleanup." in shown(page)


def test_undo_brings_back_a_number_that_is_on_offer_no_more(page: Client, alice: User) -> None:
    UserService.set_preferences(user=alice, keep_completed_days=14)
    save(page, keep="30")
    page.post(PAGE, form_with("next", page.get(PAGE).content))
    alice.refresh_from_db()
    assert alice.keep_completed_days == 14


def test_undo_brings_back_everything_that_was_saved_at_once(page: Client, alice: User) -> None:
    save(page, without="shortcuts", theme="dark", language="de", time_zone="Europe/Berlin")
    alice.refresh_from_db()
    assert (alice.theme, alice.language, alice.shortcuts) == ("dark", "de", False)
    page.post(PAGE, form_with("next", page.get(PAGE).content))
    alice.refresh_from_db()
    assert (alice.theme, alice.language, alice.time_zone) == ("auto", "", "")
    assert alice.shortcuts


def test_page_that_was_opened_long_ago_takes_nothing_back(page: Client, alice: User) -> None:
    confirm_address(alice)
    old = form_with("keep", page.get(PAGE).content)
    save(page, keep="30", theme="dark", wants_receipt="on", time_zone="Asia/Tokyo")

    page.post(PAGE, {**old, "language": "en"})

    alice.refresh_from_db()
    assert (alice.keep_completed_days, alice.theme, alice.language) == (30, "dark", "en")
    assert (alice.wants_receipt, alice.time_zone) == (True, "Asia/Tokyo")


def test_field_that_is_not_sent_stays_as_it_is(page: Client, alice: User) -> None:
    UserService.set_preferences(user=alice, theme="dark")
    page.post(PAGE, {"keep": "7", "initial-keep": "site"})
    alice.refresh_from_db()
    assert (alice.keep_completed_days, alice.theme, alice.shortcuts) == (7, "dark", True)


def test_nothing_changed_is_said(page: Client) -> None:
    save(page)
    assert "Nothing was changed." in shown(page)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("keep", "soon", "Choose one of these."),
        ("keep", "-1", "Choose one of these."),
        ("keep", "3651", "Choose one of these."),
        ("keep", "7.5", "Choose one of these."),
        ("keep", "\u0667", "Choose one of these."),
        ("keep", "9" * 5_000, "Choose one of these."),
        ("keep", "", "Choose one of these."),
        ("theme", "<script>", "Choose one of these."),
        ("language", "tlh", "Choose one of these."),
        ("time_zone", "Europe/Atlantis", "Choose a time zone from the list."),
        ("time_zone", "../../etc/passwd", "Choose a time zone from the list."),
        ("time_zone", "\u202eEurope/Berlin", "Choose a time zone from the list."),
        ("time_zone", "x" * 1_000_000, "Choose a time zone from the list."),
    ],
)
def test_tampered_value_is_named_by_its_field_and_nothing_is_saved(
    page: Client, alice: User, field: str, value: str, message: str
) -> None:
    changes = {"theme": "dark", "keep": "7", field: value}
    response = save(page, **changes)

    assert response.status_code == 200
    content = response.content.decode()
    assert f'<ul class="errorlist" id="id_{field}_error"><li>{message}</li></ul>' in content
    alice.refresh_from_db()
    assert (alice.theme, alice.keep_completed_days) == ("auto", None)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"keep=7%00&initial-keep=site", 200),
        (b"keep=7&initial-keep=site&more=" + b"x" * 10_000_000, 413),
        (b"keep=%ED%A0%80&initial-keep=site", 200),
        (b"keep=7&initial-keep=%FF%ED%A0%80", 302),
    ],
)
def test_hostile_bytes_are_refused_or_inert(
    page: Client, alice: User, content: bytes, status: int
) -> None:
    form = "application/x-www-form-urlencoded"
    assert page.post(PAGE, content, content_type=form).status_code == status
    alice.refresh_from_db()
    assert alice.keep_completed_days in ({7} if status == 302 else {None})


def test_zone_that_is_unknown_by_now_can_stay_and_cannot_be_chosen_again(
    page: Client, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(time_zone="Mars/Olympus")
    response = page.post(PAGE, {"time_zone": "Mars/Olympus", "initial-time_zone": "UTC"})
    assert "Choose a time zone such as Europe/Berlin." in text_of(response.content)


def test_receipt_goes_to_the_confirmed_address(page: Client, alice: User) -> None:
    confirm_address(alice)
    assert "It goes to alice@example.com." in shown(page)
    save(page, wants_receipt="on", without="receipt_titles")
    alice.refresh_from_db()
    assert (alice.wants_receipt, alice.receipt_titles) == (True, False)
    assert alice.receipt_since is not None


def test_who_has_no_confirmed_address_is_led_to_where_it_is_confirmed(
    page: Client, alice: User
) -> None:
    confirm_address(alice)
    EmailAddress.objects.update(verified=False)
    content = page.get(PAGE).content
    assert "needs an address of yours that is confirmed" in text_of(content)
    assert b'href="/accounts/email/"' in content
    assert "wants_receipt" not in form_with("keep", content)


def test_site_without_a_mail_server_says_so(page: Client, alice: User, settings: Settings) -> None:
    confirm_address(alice)
    settings.SENDS_MAIL = False
    content = page.get(PAGE).content
    assert "This site has no mail server, so there are no receipts." in text_of(content)
    assert b"wants_receipt" not in content


def test_site_without_a_trash_offers_no_receipt(
    page: Client, alice: User, settings: Settings
) -> None:
    confirm_address(alice)
    settings.TODO_TRASH_DAYS = 0
    content = page.get(PAGE).content
    assert "there is nothing that a receipt could bring back" in text_of(content)
    assert b"wants_receipt" not in content


def test_theme_language_and_shortcuts_are_those_of_the_next_page(page: Client) -> None:
    save(page, without="shortcuts", theme="dark", language="de")
    content = page.get("/").content.decode()
    assert '<html lang="de" data-theme="dark">' in content
    assert "data-shortcuts" not in content


def test_time_zones_are_grouped_by_area_with_the_sites_own_first(page: Client) -> None:
    content = page.get(PAGE).content.decode()
    assert '<option value="" selected>as this site has it (UTC)</option>' in content
    assert '<optgroup label="Europe">' in content
    assert '<option value="America/Argentina/Buenos_Aires">Argentina/Buenos Aires' in content
    assert "US/Eastern" not in content


def test_zone_of_another_name_is_a_choice_of_whoever_has_it(page: Client, alice: User) -> None:
    UserService.set_preferences(user=alice, time_zone="US/Eastern")
    assert form_with("keep", page.get(PAGE).content)["time_zone"] == "US/Eastern"


@pytest.mark.parametrize("number", [0, 2_000])
def test_page_and_save_cost_six_queries_at_most(
    page: Client, alice: User, number: int, settings: Settings
) -> None:
    settings.TODO_NEXT_CLEANUP = "tasks.next_cleanup.next_cleanup"
    new_todos(alice, each=number)
    with CaptureQueriesContext(connection) as looked:
        fields = form_with("keep", page.get(PAGE).content)
    with CaptureQueriesContext(connection) as saved:
        assert page.post(PAGE, {**fields, "keep": "30", "theme": "dark"}).status_code == 302
    assert max(len(looked), len(saved)) <= 6


def test_nobody_is_asked_to_log_in_first(client: Client) -> None:
    response = client.get(PAGE)
    assert response.headers["Location"] == f"/accounts/login/?next={PAGE}"


def test_forged_post_is_refused(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(PAGE, {"keep": "7", "initial-keep": "site"}).status_code == 403
    alice.refresh_from_db()
    assert alice.keep_completed_days is None


keep_times = st.sampled_from([0, 1, 7, 14, 30, 90])
edges = st.builds(
    lambda days, offset: AS_OF - days * DAY + offset,
    keep_times,
    st.sampled_from([-DAY, -MICROSECOND, timedelta(0), MICROSECOND, DAY / 2]),
)
#: When each todo was completed and restored.
histories = st.lists(st.tuples(st.none() | edges, st.none() | edges), max_size=12)


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=examples(60),
    deadline=None,
    # The fixtures are the database and a person; each example begins without todos.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=histories, site_days=keep_times)
def test_preview_is_what_a_sweep_at_that_moment_takes(
    alice: User, settings: Settings, history: list[Any], site_days: int
) -> None:
    settings.TODO_KEEP_COMPLETED_DAYS = site_days
    Todo.objects.all().delete()
    for completed_at, restored_at in history:
        new_todo(alice, completed_at=completed_at, restored_at=restored_at)
    choices_of_days = {str(days): days for days in OFFERED_DAYS} | {"site": site_days}

    told = TodoService.preview_keep_times(
        user=alice, keep_days={*choices_of_days.values()}, as_of=AS_OF
    )

    assert told == {days: taken(alice, choice) for choice, days in choices_of_days.items()}
    assert taken(alice, "ever") == 0


def taken(user: User, choice: str) -> int:
    """Return how many todos a sweep takes after this choice; have it not happened."""
    with transaction.atomic():
        UserService.set_preferences(user=user, **as_preferences(choice))
        count = TodoService.sweep(as_of=AS_OF)["todos_deleted"]
        transaction.set_rollback(True)
    user.refresh_from_db()
    return count
