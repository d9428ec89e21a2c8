"""Starting with arguments, pausing queues, asking workers to leave: in a browser, at any width."""

import re
import shlex

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit, Visitor

pytestmark = pytest.mark.e2e

PAGE = "/admin/background/"
START = f"{PAGE}tasks/todo.cleanup/start/"
PAUSE = f"{PAGE}queues/pause/?queue=default"

#: The liveness of this module's site: its processes, which are rows alone, seem to be alive.
LIVENESS_SECONDS = 3600

WINDOWS = [
    pytest.param({}, id="wide"),
    pytest.param({"java_script_enabled": False}, id="wide, no script"),
    pytest.param({"viewport": {"width": 320, "height": 640}}, id="narrow"),
]

#: Two workers of one command, one of which is at work on a run, and one of an earlier version.
WORKERS = """
from tasks.engine.models import Process, TaskRun
Process.objects.all().delete()
workers = [Process.objects.create(kind="worker", host="worker-1", pid=pid, command_pid=1,
    queues=["default"]) for pid in (7, 8)]
Process.objects.create(kind="worker", host="worker-2", pid=9, queues=["default"])
TaskRun.objects.create(task="ping", state="running", trigger="schedule", queue="default",
    held_by=workers[0].pk)
"""


@pytest.fixture(scope="module", autouse=True)
def _workers(site: Site) -> None:
    for arguments in (("runscheduler", "--once"), ("shell", "-v0", "-c", WORKERS)):
        done = site.tidy.manage(*arguments)
        assert done.returncode == 0, done.stderr


def check(visit: Visit) -> None:
    """Check that a page is accessible, and needs no scrolling to the side."""
    visit.check_accessible()
    wide, shown = visit.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= shown, f"{visit.page.url} is {wide} px wide"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("address", [PAGE, f"{PAGE}tasks/", START, PAUSE])
def test_pages_can_be_used_by_everyone_at_any_width(
    visit: Visitor, address: str, width: int, theme: str
) -> None:
    boss = visit(theme=theme, viewport={"width": width, "height": 800})
    boss.go(address)
    check(boss)


@pytest.mark.parametrize("options", WINDOWS)
def test_run_is_started_with_arguments_and_errors_stand_beside_their_fields(
    visit: Visitor, site: Site, options: dict[str, object]
) -> None:
    page = (boss := visit(**options)).page
    boss.go(f"{PAGE}tasks/")
    page.get_by_role("link", name="Start todo.cleanup").click()
    page.get_by_label("keep_days").fill("-1")
    page.get_by_role("button", name="Start", exact=True).click()
    keep_days = page.get_by_label("keep_days")
    expect(keep_days).to_have_value("-1")
    expect(keep_days).to_have_accessible_description(re.compile("keep_days must be from 0"))
    keep_days.fill("3650")
    page.get_by_role("button", name="Show what does the same").click()
    expect(page.locator("#same-python")).to_contain_text("enqueue(todo_cleanup, keep_days=")
    page.get_by_label("user_id").fill("999999")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("is queued")
    cancel(page)


def cancel(page: Page) -> None:
    """Cancel the run whose page this is: the next test starts one."""
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".messagelist")).to_contain_text("is cancelled")


def test_lines_follow_what_is_typed_and_do_what_they_say(visit: Visitor, site: Site) -> None:
    page = (boss := visit()).page
    boss.go(START)
    expect(page.locator("#same-command")).to_contain_text(" manage.py start_run todo.cleanup")
    page.get_by_label("keep_days").press_sequentially("12")
    expect(page.locator("#same-python")).to_contain_text("enqueue(todo_cleanup, keep_days=12)")
    expect(page.get_by_role("button", name="Copy")).to_have_count(2)
    page.get_by_label("keep_days").fill("many")
    expect(page.locator("#same-lines")).to_contain_text("keep_days: Enter a whole number.")
    page.get_by_label("keep_days").fill("13")
    expect(page.locator("#same-command")).to_contain_text("13")
    _, _, *command = shlex.split(page.locator("#same-command").inner_text())
    done = site.tidy.manage(*command)
    assert done.returncode == 0, done.stderr
    boss.go(f"/admin/tasks/taskrun/{done.stdout.split()[-1]}/change/")
    expect(page.locator("#content")).to_contain_text('{"keep_days": 13}')
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("link", name="with other arguments").click()
    expect(page.get_by_label("keep_days")).to_have_value("13")


def test_start_goes_by_keyboard(visit: Visitor) -> None:
    page = (boss := visit()).page
    boss.go(START)
    page.get_by_label("keep_days").focus()
    page.keyboard.type("3650")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("is queued")
    cancel(page)


@pytest.mark.parametrize("options", WINDOWS)
def test_queue_is_paused_and_resumed(visit: Visitor, options: dict[str, object]) -> None:
    page = (boss := visit(**options)).page
    boss.go(PAGE)
    page.get_by_role("link", name="Pause the queue default").click()
    page.get_by_label("Why?").fill("The mail server moves")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("The queue default is paused.")
    expect(page.locator(".verdict")).to_contain_text("by boss: The mail server moves. ")
    page.get_by_role("button", name="Resume the queue default").click()
    expect(page.locator(".messagelist")).to_contain_text("The queue default is resumed.")
    expect(page.locator(".verdict")).not_to_contain_text("The mail server moves")


def test_worker_is_asked_to_leave_with_what_it_has_in_hand(visit: Visitor, site: Site) -> None:
    page = (boss := visit(viewport={"width": 320, "height": 640})).page
    boss.go(PAGE)
    name = "Finish and leave: process 7 on worker-1"
    page.get_by_role("button", name=name).click()
    expect(page.locator("#content")).to_contain_text("2 processes of one command: 7, 8.")
    expect(page.locator("#content")).to_contain_text("In hand now: 1 run.")
    check(boss)
    page.get_by_role("link", name="No, take me back").click()
    page.get_by_role("button", name=name).click()
    page.get_by_role("button", name="Yes, finish and leave").click()
    expect(page.locator(".messagelist")).to_contain_text("2 processes are asked")
    expect(page.locator("#live")).to_contain_text("has not taken note yet")
    expect(page.get_by_role("button", name=name)).to_have_count(0)
    check(boss)
    done = site.tidy.manage("shell", "-v0", "-c", WORKERS)
    assert done.returncode == 0, done.stderr
