"""Schedules in a browser: what one will do is said before it is saved; pauses say why."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visitor

pytestmark = pytest.mark.e2e

PAGE = "/admin/background/"
SCHEDULES = "/admin/tasks/schedule/"

CONTEXTS = [
    pytest.param({}, id="desk"),
    pytest.param({"viewport": {"width": 320, "height": 640}}, id="phone"),
    pytest.param({"java_script_enabled": False}, id="no script"),
]


@pytest.fixture(scope="module", autouse=True)
def schedules(site: Site) -> None:
    """The schedules that the code asks for."""
    assert site.tidy.manage("runscheduler", "--once").returncode == 0


def fill_in(page: Page, name: str) -> None:
    page.get_by_label("Task").select_option("todo.cleanup")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Arguments").fill('{"keep_days": 7}')
    page.get_by_label("Crontab").fill("0 5 * * 1")
    page.get_by_label("Jitter (seconds)").fill("300")
    page.get_by_label("If the run before has not ended").select_option("wait, and run after it")


@pytest.mark.parametrize("context", CONTEXTS)
def test_schedule_is_added_after_its_words_were_read_and_paused_with_a_note(
    visit: Visitor, request: pytest.FixtureRequest, context: dict[str, object]
) -> None:
    scripted = context.get("java_script_enabled", True)
    name = f"weekly {request.node.callspec.id}"
    boss = visit(**context)
    page = boss.page
    boss.go(f"{SCHEDULES}add/")
    fill_in(page, name)
    shown = page.locator("#coming-times" if scripted else "#content")
    if not scripted:
        page.get_by_role("button", name="Show the next times, without saving").click()
    expect(shown).to_contain_text("todo.cleanup with keep_days=7: At 05:00 on Monday (UTC).")
    expect(shown).to_contain_text("up to 5 min later")
    expect(shown).to_contain_text("the next one waits for it")
    expect(shown.locator("li time")).to_have_count(5)
    if scripted:
        boss.check_accessible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    else:
        page.go_back()
        fill_in(page, name)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was added successfully")

    boss.go(PAGE)
    row = page.locator("tr", has_text=f"todo.cleanup ({name})")
    expect(row).to_contain_text("with arguments")
    row.get_by_role("button", name=re.compile("^Pause")).click()
    if scripted:
        boss.check_accessible()
    page.get_by_label("Why?").fill("The printer is <b>out</b>")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("is paused")
    expect(row).to_contain_text(re.compile(r"paused since .* by boss: The printer is <b>out</b>"))
    row.get_by_role("button", name=re.compile("^Resume")).click()
    expect(page.locator(".messagelist")).to_contain_text("is resumed")


def test_what_is_wrong_with_times_is_said_while_one_types_and_takes_nothing_away(
    visit: Visitor,
) -> None:
    boss = visit()
    page = boss.page
    boss.go(f"{SCHEDULES}add/")
    page.get_by_label("Task").select_option("todo.cleanup")
    page.get_by_label("Arguments").fill('{"keep_days": -1}')
    page.get_by_label("Crontab").fill("0 25 * * *")
    told = page.locator("#coming-times")
    expect(told).to_contain_text("Arguments:")
    page.get_by_label("Arguments").fill("{}")
    expect(told).to_contain_text("'25' is not a valid hour in a crontab.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errornote").first).to_be_visible()
    expect(page.get_by_label("Crontab")).to_have_value("0 25 * * *")
    boss.check_accessible()


def test_page_of_a_task_goes_through_its_periods_by_keyboard(visit: Visitor) -> None:
    boss = visit()
    page = boss.page
    boss.go(PAGE)
    page.get_by_role("link", name="todo.cleanup", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/tasks/todo.cleanup/charts/")
    page.get_by_role("link", name="30 days").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[aria-current=page]").filter(has_text="30 days")).to_be_visible()
    boss.check_accessible()
