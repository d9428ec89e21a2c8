"""The list of runs in a real browser: filters, keys, a phone, and what it is without a script."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visitor

pytestmark = pytest.mark.e2e

LIST = "/admin/tasks/taskrun/"

#: The liveness of this module's site: its processes, which are rows alone, seem to be alive.
LIVENESS_SECONDS = 3600

#: Three tasks failed for two reasons, and others did not.
NIGHT = """
from datetime import timedelta
from uuid import uuid4
from django.utils import timezone
from tasks.engine.models import TaskRun
now = timezone.now()
def run(task, state="succeeded", error="", **more):
    ended = None if state in ("queued", "pending") else now
    TaskRun.objects.create(task=task, state=state, error=error, trigger="schedule", queue="default",
        message_id=uuid4(), created_at=now - timedelta(hours=1), worker="worker-1, process 12",
        started_at=now - timedelta(minutes=9), finished_at=ended, **more)
for task in ("todo.receipts", "sessions.clear", "requests.prune"):
    for _ in range(4):
        run(task, "failed", "Traceback\\n  File x\\nTimeoutError: the server does not answer")
run("sessions.clear", "failed", "Traceback\\nKeyError: '" + "name" * 60 + "'")
run("todo.cleanup", result={"users_processed": 20, "todos_deleted": 1234, "errors": []})
run("ping", "queued", failures=0)
"""

SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 320, "height": 800}}


@pytest.fixture(scope="module", autouse=True)
def night(site: Site) -> None:
    """A bad night."""
    told = site.tidy.manage("shell", "-v0", "-c", NIGHT)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_list_and_question_are_accessible_and_fit_at_every_size(
    visit: Visitor, theme: str, size: str
) -> None:
    boss = visit(theme=theme, viewport=SIZES[size])
    for address in (LIST, f"{LIST}?state=unacknowledged", f"{LIST}?state=none&since=x"):
        boss.go(address)
        # The browser's console tells of an answer of 400, which it is meant to be.
        boss.wrong[:] = [line for line in boss.wrong if "400 (Bad Request)" not in line]
        boss.check_accessible()
        assert scrolls_nowhere(boss.page), address
    boss.go(f"{LIST}?state=unacknowledged")
    boss.page.check("#all")
    boss.page.get_by_role("button", name="Retry").click()
    expect(boss.page.locator("#content")).to_contain_text("13 runs, created until now.")
    boss.check_accessible()
    assert scrolls_nowhere(boss.page)


def scrolls_nowhere(page: Page) -> bool:
    """Say whether the page is no wider than its window."""
    root = "document.documentElement"
    return bool(page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"))


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_failures_are_found_by_their_error_and_acknowledged(
    visit: Visitor, site: Site, *, scripts: bool
) -> None:
    boss = visit(java_script_enabled=scripts)
    page = boss.page
    boss.go("/admin/background/")
    page.get_by_role("link", name="Find them by their error").click()
    groups = page.locator(".groups tbody tr")
    expect(groups).to_have_count(4)
    groups.filter(has_text="sessions.clear").filter(has_text="Timeout").get_by_role("link").click()
    expect(page.get_by_role("status").first).to_contain_text("4 runs match.")
    assert "error=TimeoutError" in page.url
    page.get_by_role("link", name="All runs").click()
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Error contains").fill("timeouterror")
    page.get_by_label("State").select_option("failed")
    page.locator("details .button").get_by_text("Show").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(12)
    assert "search=" not in page.url
    page.check("#all")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#content")).to_contain_text("12 runs, created until now.")
    page.get_by_role("link", name="No, take me back").click()
    page.locator("[name=run]").first.check()
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("button", name="Yes, retry 1 run").click()
    expect(page.locator(".messagelist")).to_contain_text(re.compile(r"Run \d+ does this"))
    expect(page.locator("#content")).to_contain_text("runs.retry")
    # As before, for the next test.
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".messagelist")).to_contain_text("is cancelled")


def test_keys_move_between_runs_tick_and_open_them(visit: Visitor) -> None:
    boss = visit()
    page = boss.page
    boss.go(LIST)
    links, ticks = page.locator("#result_list th a"), page.locator("[name=run]")
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    expect(links.nth(2)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("x")
    expect(ticks.nth(1)).to_be_checked()
    page.keyboard.press("?")
    expect(page.get_by_text("next run, previous run")).to_be_visible()
    boss.check_accessible()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("jx/?")
    expect(page.get_by_label("Search")).to_have_value("jx/?")
    # They can be turned off, in this browser.
    page.get_by_label("Use these keys").uncheck()
    page.reload()
    page.keyboard.press("j")
    expect(links.nth(0)).not_to_be_focused()
    page.get_by_text("Keys", exact=True).click()
    page.get_by_label("Use these keys").check()
    page.keyboard.press("j")
    number = links.nth(0).text_content()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/{number}/change/"))


def test_on_a_phone_every_column_is_there_and_actions_come_first(visit: Visitor) -> None:
    boss = visit(viewport=SIZES["phone"])
    page = boss.page
    boss.go(f"{LIST}?task=todo.cleanup")
    row = page.locator("#result_list tbody tr").first
    for words in ("todo.cleanup", "Succeeded", "schedule", "9 min", "1,234 todos swept"):
        expect(row).to_contain_text(words)
    retry = page.get_by_role("button", name="Retry").bounding_box()
    first = row.bounding_box()
    assert retry
    assert first
    assert retry["y"] < first["y"]
    boss.go(LIST)
    expect(page.get_by_label("Error contains")).not_to_be_visible()
