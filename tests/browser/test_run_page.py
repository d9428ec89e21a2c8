"""The page of a run in a browser: fresh by itself, and no trouble to who reads it."""

import json
import re
from urllib.parse import unquote

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit, Visitor

pytestmark = pytest.mark.e2e

#: The liveness of this module's site: its processes, which are rows alone, seem to be alive.
LIVENESS_SECONDS = 3600

MAKE = """
import json
from datetime import timedelta
from django.utils import timezone
from tasks.engine.models import Attempt, Process, TaskRun
now = timezone.now()
holder = Process.objects.create(kind="worker", host="worker-1", pid=12, queues=["default"])
error = "Traceback (most recent call last):\\n" + "  File x\\n" * 300 + "ValueError: <b>a</b>"
def run(state, **more):
    values = dict(task="todo.cleanup", state=state, trigger="schedule", queue="default", sends=1,
        created_at=now - timedelta(seconds=120), started_at=now - timedelta(seconds=110),
        attempted_at=now, attempts=3, failures=2, worker="worker-1, process 12", held_by=holder.pk)
    made = TaskRun.objects.create(**{**values, **more})
    for number in (1, 2)[:made.attempts]:
        begun = now - timedelta(seconds=110 - 40 * number)
        Attempt.objects.create(run=made, number=number, worker="worker-1, process 12",
            started_at=begun, ended_at=begun + timedelta(seconds=3), outcome="failed", error=error)
    return made.pk
print(json.dumps({
    "running": run("running", progress={"rows": 123_456, "done": 0.42}),
    "waiting": run("pending", attempts=2, error=error, due_at=now + timedelta(hours=1)),
    "failed": run("failed", finished_at=now, error=error),
    "succeeded": run("succeeded", finished_at=now, has_errors=True, result={
        "todos_deleted": 1, "users_processed": 1200,
        "errors": [{"user_id": 7, "reason": "long" * 60}]}, arguments={"kwargs": {"keep_days": 3}}),
}))
"""

END = """
from django.utils import timezone
from tasks.engine.models import TaskRun
TaskRun.objects.filter(pk={run}).update(state="succeeded", finished_at=timezone.now(), error="",
    result={{"todos_deleted": 5, "users_processed": 7}})
"""


@pytest.fixture
def runs(site: Site) -> dict[str, int]:
    """Runs in four states, all with earlier attempts; no process works on any."""
    return json.loads(shell(site, MAKE))  # type: ignore[no-any-return]


def shell(site: Site, code: str) -> str:
    told = site.tidy.manage("shell", "-v0", "-c", code)
    assert told.returncode == 0, told.stderr
    return told.stdout


def open_page(visit: Visit, run: int) -> Page:
    visit.go(f"/admin/tasks/taskrun/{run}/change/")
    return visit.page


def wait_for_refresh(page: Page) -> None:
    """Return when the part that changes has been replaced."""
    page.evaluate("document.querySelector('#live').firstElementChild.dataset.old = '1'")
    expect(page.locator("#live > [data-old]")).to_have_count(0)


#: Waits until the page would refresh itself, whether or not it then does.
POLLS = """
    new Promise((comes) => {
        document.addEventListener("htmx:beforeRequest", comes, { once: true });
    }).then(() => null)
"""

#: Where the first line and the buttons are; at one moment, as the page replaces them.
BOXES = """
    [...document.querySelectorAll("#live strong, #live .console-actions .button")]
        .map((element) => element.getBoundingClientRect().toJSON())
"""

FITS = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_accessible_in_every_state_with_all_of_it_unfolded(
    visit: Visitor, runs: dict[str, int], theme: str
) -> None:
    boss = visit(theme=theme)
    for run in runs.values():
        page = open_page(boss, run)
        for summary in page.locator("#live summary").all():
            summary.click()
        boss.check_accessible()


def test_page_fits_a_phone_and_shows_everything_there(visit: Visitor, runs: dict[str, int]) -> None:
    for scripted in (True, False):
        boss = visit(viewport={"width": 320, "height": 640}, java_script_enabled=scripted)
        for run in runs.values():
            page = open_page(boss, run)
            if scripted:
                for summary in page.locator("#live summary").all():
                    summary.click()
                assert page.evaluate(FITS)
            first, *buttons = page.evaluate(BOXES)
            assert buttons
            for box in buttons:
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= 320
                assert first["y"] < box["y"] < 640, "actions are on the first screen"


def test_end_of_a_run_comes_by_itself_and_then_nothing_is_asked_for(
    visit: Visitor, site: Site, runs: dict[str, int]
) -> None:
    boss = visit()
    page = open_page(boss, runs["running"])
    expect(page.locator("#live strong")).to_contain_text("Running for")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    shell(site, END.format(run=runs["running"]))
    expect(page.locator("#live strong")).to_contain_text("at the third attempt", timeout=4_000)
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.locator("#live")).to_contain_text("5 todos swept to the trash")
    expect(page.get_by_role("status").last).to_contain_text("at the third attempt")

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(2):
        page.evaluate(POLLS)
    assert asked == []
    open_page(boss, runs["running"])
    expect(page.locator("#live[hx-get]")).to_have_count(0)


def test_refresh_takes_neither_the_focus_nor_what_is_unfolded_nor_a_selection(
    visit: Visitor, runs: dict[str, int]
) -> None:
    boss = visit()
    page = open_page(boss, runs["waiting"])
    page.locator("#attempt-1-summary").click()
    page.locator("#retry-now").focus()
    for _ in range(2):
        wait_for_refresh(page)
        expect(page.locator("#retry-now")).to_be_focused()
        expect(page.locator("#attempt-1")).to_have_attribute("open", "")
        expect(page.locator("#attempt-2")).not_to_have_attribute("open", "")
        expect(page.locator("#error-text-copy")).to_be_visible()
    page.locator("#error-text-copy").focus()
    wait_for_refresh(page)
    expect(page.locator("#error-text-copy")).to_be_focused()

    page.evaluate("getSelection().selectAllChildren(document.querySelector('#error-text'))")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(2):
        page.evaluate(POLLS)
    assert asked == []
    assert "ValueError" in page.evaluate("getSelection().toString()")


def test_button_that_is_being_pressed_is_not_replaced(visit: Visitor, runs: dict[str, int]) -> None:
    boss = visit()
    page = open_page(boss, runs["waiting"])
    page.locator("#retry-now").hover()
    page.mouse.down()
    page.evaluate(POLLS)
    page.mouse.up()
    expect(page.locator(".messagelist")).to_contain_text("is tried again as soon as a worker can")
    expect(page.locator("#live strong")).to_contain_text("Failed twice, next try within seconds")


def test_errors_are_copied_whole(visit: Visitor, runs: dict[str, int]) -> None:
    boss = visit()
    page = open_page(boss, runs["failed"])
    page.locator("#error-text-copy").click()
    expect(page.locator("#error-text-copy")).to_have_text("Copied")
    page.evaluate("document.body.append(document.createElement('textarea'))")
    page.locator("textarea").focus()
    page.keyboard.press("Control+V")
    copied = page.locator("textarea").input_value()
    assert copied.startswith("Traceback")
    assert copied.endswith("ValueError: <b>a</b>")
    assert copied.count("File x") == 300
    page.locator("#attempt-1-summary").click()
    page.locator("#attempt-1-whole").click()
    expect(page.locator("pre")).to_contain_text("Traceback")
    boss.check_accessible()


def test_reader_who_was_logged_out_is_asked_to_log_in(visit: Visitor, runs: dict[str, int]) -> None:
    page = open_page(visit(), runs["running"])
    expect(page.locator("#stale")).to_be_hidden()
    page.context.clear_cookies()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert f"next=/admin/tasks/taskrun/{runs['running']}/change/" in unquote(page.url)


def test_database_that_is_away_is_told_and_so_is_its_return(
    visit: Visitor, runs: dict[str, int]
) -> None:
    boss = visit()
    page = open_page(boss, runs["running"])
    away = render_to_string("tasks/console/away_live.html", {"broker_answers": True})
    page.route(re.compile("/live/$"), lambda route: route.fulfill(status=503, body=away), times=1)
    expect(page.locator("#live")).to_contain_text("the database cannot be read")
    expect(page.locator("#live strong")).to_contain_text("Running for")
    boss.wrong.clear()  # What the browser itself writes about a 503.


def test_page_that_cannot_be_refreshed_says_so(visit: Visitor, runs: dict[str, int]) -> None:
    boss = visit()
    page = open_page(boss, runs["running"])
    page.route(re.compile("/live/$"), lambda route: route.abort())
    expect(page.locator("#stale")).to_be_visible()
    page.unroute(re.compile("/live/$"))
    expect(page.locator("#stale")).to_be_hidden()
    boss.wrong.clear()  # What the browser itself writes about a request that fails.


def test_all_of_it_goes_by_keyboard(visit: Visitor, runs: dict[str, int]) -> None:
    boss = visit()
    page = open_page(boss, runs["waiting"])
    for control in ("retry-now", "stop", "attempt-1-summary", "fields-summary"):
        press_tab_until_at(page, control)
    page.keyboard.press("Enter")
    expect(page.locator("#fields table")).to_be_visible()
    wait_for_refresh(page)
    expect(page.locator("#fields table")).to_be_visible()
    press_tab_until_at(page, "retry-now", by="Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("is tried again as soon as a worker can")


def press_tab_until_at(page: Page, control: str, *, by: str = "Tab") -> None:
    for _ in range(100):
        page.keyboard.press(by)
        if page.evaluate("document.activeElement.id") == control:
            return
    pytest.fail(f"{control} cannot be reached")


def test_without_a_script_the_page_can_be_reloaded_and_its_buttons_work(
    visit: Visitor, site: Site, runs: dict[str, int]
) -> None:
    page = open_page(visit(java_script_enabled=False), runs["waiting"])
    expect(page.locator("#live strong")).to_contain_text("Failed twice, next try in")
    page.get_by_role("button", name="Retry now").click()
    expect(page.locator(".messagelist")).to_contain_text("is tried again as soon as a worker can")
    shell(site, END.format(run=runs["waiting"]))
    page.get_by_role("link", name="Reload").click()
    expect(page.locator("#live strong")).to_contain_text("Succeeded in")
    expect(page.get_by_role("link", name="Reload")).to_have_count(0)
    page.get_by_text("Error of attempt 1", exact=True).click()
    expect(page.locator("#attempt-1-error")).to_be_visible()


def test_run_that_is_started_is_seen_to_its_end_within_two_seconds(
    visit: Visitor, site: Site
) -> None:
    boss = visit()
    page = boss.page
    assert site.tidy.manage("runscheduler", "--once").returncode == 0
    with site.tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker:
        worker.wait_for("Worker process is ready")
        boss.go("/admin/background/")
        page.get_by_role("button", name="Run runs.prune now").click()
        expect(page.locator("#live strong")).to_contain_text("Succeeded in", timeout=3_000)
        page.get_by_role("button", name="Run again").click()
        expect(page.locator("#live strong")).to_contain_text("Succeeded in", timeout=3_000)
        assert worker.stop() == 0
