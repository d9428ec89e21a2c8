"""Preferences, export and the deletion of an account, as people see them in a browser."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, Site, Visit, Visitor

pytestmark = pytest.mark.e2e

PAGE, DELETE = "/preferences/", "/delete-account/"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

#: Two of her todos were completed of late, and one is older than a week.
PERSON = f"""
from datetime import timedelta
from django.utils import timezone
from accounts.models import User
from tasks.engine.scheduler.defaults import add_missing_schedules
from todos.models import Todo
add_missing_schedules()
User.objects.filter(username="zoe").delete()
zoe = User.objects.create_user("zoe", "zoe@example.com", "{PASSWORD}")
for days in (0, 1, 20):
    Todo.objects.create(
        user=zoe, title="Done", completed_at=timezone.now() - timedelta(days=days)
    )
"""

type Begin = Callable[..., Visit]


@pytest.fixture
def begin(visit: Visitor, site: Site) -> Begin:
    """Begin a visit of Zoe, who is new, to her preferences; her device is in Berlin."""

    def visiting(**options: Any) -> Visit:
        told = site.tidy.manage("shell", "-v0", "-c", PERSON)
        assert told.returncode == 0, told.stderr
        visit_of_zoe = visit("zoe", timezone_id="Europe/Berlin", **options)
        visit_of_zoe.go(PAGE)
        return visit_of_zoe

    return visiting


def save(page: Page) -> None:
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#notices")).to_contain_text("Saved.")


@pytest.mark.parametrize("script", [True, False])
def test_choice_says_what_it_takes_is_saved_and_undone(begin: Begin, *, script: bool) -> None:
    page = begin(java_script_enabled=script).page
    for label, takes in (
        ("They leave with the next cleanup", "tonight this takes 3 todos"),
        ("They leave after 7 days", "tonight this takes 1 todo"),
        ("They stay for ever", "tonight this takes nothing"),
    ):
        expect(page.get_by_role("radio", name=f"{label} {takes}", exact=True)).to_be_visible()

    page.get_by_role("radio", name="They leave after 7 days").check()
    save(page)

    expect(page.locator("#notices")).to_contain_text("completed todos leave after 7 days.")
    expect(page.get_by_role("radio", name="They leave after 7 days")).to_be_checked()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("radio", name="As this site has it")).to_be_checked()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_pages_are_accessible_and_fit(begin: Begin, theme: str, size: dict[str, int]) -> None:
    visit = begin(theme=theme, viewport=size)
    for path in (PAGE, DELETE):
        visit.go(path)
        visit.check_accessible()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    visit.page.get_by_role("button", name="Delete my account for good").click()
    visit.check_accessible()


def test_theme_is_that_of_the_next_page_whatever_the_device_has(begin: Begin) -> None:
    visit = begin(theme="light")
    page = visit.page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("radio", name="dark").check()
    save(page)
    assert page.evaluate(ground) != light
    visit.check_accessible()
    page.get_by_role("radio", name="light").check()
    save(page)
    assert page.evaluate(ground) == light


def test_time_zone_of_the_device_is_offered_not_set(begin: Begin) -> None:
    page = begin().page
    zone = page.get_by_label("Time zone")
    offer = page.get_by_role("button", name="Use Europe/Berlin, as this device has it")
    expect(zone).to_have_value("")

    offer.click()

    expect(zone).to_have_value("Europe/Berlin")
    expect(zone).to_be_focused()
    expect(offer).to_be_hidden()
    save(page)
    expect(zone).to_have_value("Europe/Berlin")
    expect(offer).to_be_hidden()
    expect(page.get_by_text("The next cleanup is due on")).to_contain_text(":00.")
    zone.select_option("Asia/Tokyo")
    expect(offer).to_be_visible()


def test_time_zone_can_be_chosen_without_a_script(begin: Begin) -> None:
    page = begin(java_script_enabled=False).page
    expect(page.get_by_text("as this device has it")).to_have_count(0)
    page.get_by_label("Time zone").select_option("Europe/Berlin")
    save(page)
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")


def test_field_in_use_is_not_covered_by_the_save_button(begin: Begin) -> None:
    page = begin(viewport=PHONE).page
    zone = page.get_by_label("Time zone")
    page.evaluate("scrollTo(0, 0)")
    zone.focus()
    box, bar = zone.bounding_box(), page.locator(".save").bounding_box()
    assert box
    assert bar
    assert box["y"] + box["height"] <= bar["y"]


@pytest.mark.parametrize("script", [True, False])
def test_account_is_exported_and_deleted(begin: Begin, tmp_path: Path, *, script: bool) -> None:
    page = begin(java_script_enabled=script).page
    page.get_by_role("link", name="Delete my account").click()
    expect(page.get_by_text("3 todos on your list")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Everything, as JSON").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert len(json.loads(file.read_text(encoding="utf-8"))["todos"]) == 3

    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Delete my account for good").click()
    expect(page.locator(".errorlist")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Delete my account for good").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Your account is deleted")
    expect(page.get_by_role("link", name="Log in")).to_be_visible()
