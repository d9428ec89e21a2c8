"""The whole path of an operator, in a real browser, with real processes."""

import os
import re
import signal

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visitor
from tests.dead_letters import bury
from tests.processes import Process

pytestmark = pytest.mark.e2e

PAGE = "/admin/background/"


def kill(worker: Process) -> None:
    """Kill a worker's master and its processes, as a machine does that loses its power."""
    os.killpg(worker.popen.pid, signal.SIGKILL)
    worker.popen.wait(10)


def test_operator_sees_trouble_and_puts_it_right(visit: Visitor, site: Site) -> None:
    # So many that a cleanup can be watched.
    seeded = site.tidy.manage("seed_demo", "--users=20", "--todos=1500", "--seed=8", "--force")
    assert seeded.returncode == 0, seeded.stderr
    boss = visit()
    page = boss.page
    with site.tidy.start("runscheduler") as scheduler:
        with site.tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker:
            boss.go("/admin/")
            page.click("text=Background work: is all well?")
            expect(page.locator(".verdict")).to_contain_text("All well.")
            # Trouble: a worker is killed. The page says so by itself, without being loaded again.
            kill(worker)
            expect(page.locator(".verdict")).to_contain_text("No worker is alive.")
        with site.tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker:
            expect(page.locator(".verdict")).to_contain_text("All well.")

            run_cleanup_and_watch_it(page, site)
            pause_edit_and_resume(page)
            undo_the_cleanup(page)
            retry_a_dead_letter(page, site)

            page.click("text=Log out")
            expect(page.locator("#content")).to_contain_text("Logged out")
            assert worker.stop() == 0
        assert scheduler.stop() == 0


def run_cleanup_and_watch_it(page: Page, site: Site) -> None:
    page.get_by_role("button", name="Run todo.cleanup now").click()
    expect(page.locator(".messagelist")).to_contain_text("is queued")
    page.goto(site.address + PAGE)
    expect(page.locator("progress").first).to_be_visible()
    page.get_by_role("button", name="Run todo.cleanup now").click()
    expect(page.locator(".messagelist")).to_contain_text("of todo.cleanup is unfinished")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="todo.cleanup"))
    expect(row).to_contain_text(re.compile(r"succeeded.*todos swept", re.DOTALL), timeout=60_000)


def pause(page: Page, task: str) -> None:
    page.get_by_role("button", name=f"Pause {task}").click()
    page.get_by_label("Why?").fill("A move")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text(f"{task} is paused")


def pause_edit_and_resume(page: Page) -> None:
    pause(page, "todo.purge")
    page.get_by_role("link", name="Edit the schedule of todo.purge").click()
    page.fill("#id_crontab", "30 4 * * *")
    expect(page.locator("#coming-times li")).to_have_count(5)
    expect(page.locator("#coming-times")).to_contain_text("04:30:00")
    page.fill("#id_crontab", "30 25 * * *")
    expect(page.locator("#coming-times .errornote")).to_be_visible()
    page.fill("#id_crontab", "30 4 * * *")
    page.click("input[name=_save]")
    page.goto(page.url.split("/admin/")[0] + PAGE)
    page.get_by_role("button", name="Resume todo.purge").click()
    expect(page.locator(".messagelist")).to_contain_text("todo.purge is resumed")
    expect(page.locator("#live")).to_contain_text("At 04:30")


def undo_the_cleanup(page: Page) -> None:
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="todo.cleanup"))
    row.get_by_role("link", name="succeeded").click()
    page.get_by_role("link", name="Undo").click()
    expect(page.locator("#content")).to_contain_text("todos will be restored")
    page.get_by_role("button", name=re.compile("Yes, undo run")).click()
    for _ in range(60):
        if "todos restored" in page.locator("#content").inner_text():
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator("#content")).to_contain_text("todos restored")


def retry_a_dead_letter(page: Page, site: Site) -> None:
    bury(site.tidy.settings["REDIS_URL"])
    page.goto(site.address + PAGE)
    expect(page.locator(".verdict")).to_contain_text("has 1 dead letter")
    page.get_by_role("link", name="Dead letters").click()
    page.get_by_role("checkbox", name="Select dead letter 1").check()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".messagelist")).to_contain_text("1 dead letter retried")
    expect(page.locator("#content")).to_contain_text("There are none.")


#: Waits until the page would refresh itself.
REFRESHES = """
    new Promise((comes) => {
        document.addEventListener("htmx:beforeRequest", comes, { once: true });
    }).then(() => null)
"""


def test_all_of_it_goes_by_keyboard(visit: Visitor, site: Site) -> None:
    boss = visit()
    page = boss.page
    assert site.tidy.manage("runscheduler", "--once").returncode == 0
    boss.go(PAGE)
    # A page that refreshes itself must not take the keyboard's place away.
    press_tab_until(page, "Pause todo.cleanup")
    page.evaluate(REFRESHES)
    assert focused(page) == "Pause todo.cleanup"
    page.keyboard.press("Enter")
    page.get_by_label("Why?").wait_for()
    press_tab_until(page, "Why? For those who find it paused.")
    page.keyboard.type("A move")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("todo.cleanup is paused")
    press_tab_until(page, "Resume todo.cleanup")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("todo.cleanup is resumed")


#: A run at work and two that failed, as nobody is there to do or change anything.
TROUBLE = """
from datetime import timedelta
from django.utils import timezone
from tasks.engine.models import Process, TaskRun
now = timezone.now()
alive = now + timedelta(hours=1)
holder = Process.objects.create(kind="command", host="elsewhere", pid=1, seen_at=alive)
def run(state, **more):
    return TaskRun.objects.create(task="runs.prune", state=state, trigger="schedule",
        queue="default", started_at=now, attempts=1, held_by=holder.pk, **more).pk
failed = [run("failed", error="ValueError: x", finished_at=now) for _ in range(2)]
print(run("running"), *failed)
"""


def test_stopping_acknowledging_and_discarding_go_by_keyboard(visit: Visitor, site: Site) -> None:
    boss = visit()
    page = boss.page
    told = site.tidy.manage("shell", "-v0", "-c", TROUBLE)
    assert told.returncode == 0, told.stderr
    running, first, _ = told.stdout.split()
    bury(site.tidy.settings["REDIS_URL"])
    boss.go(PAGE)
    boss.check_accessible()

    press_tab_until(page, f"Stop run {running}")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text(f"Run {running} was asked to stop")
    expect(page.locator("#live")).to_contain_text("Asked to stop: it ends at its next step")
    page.goto(f"{site.address}/admin/tasks/taskrun/{running}/change/")
    expect(page.locator(".timeline")).to_contain_text("it ends at its next step")
    boss.check_accessible()

    boss.go(PAGE)
    press_tab_until(page, f"Acknowledge run {first}")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text(f"Run {first} is acknowledged")
    page.goto(f"{site.address}/admin/tasks/taskrun/{first}/change/")
    expect(page.locator(".timeline")).to_contain_text("acknowledged by boss")

    boss.go(f"{PAGE}dead-letters/")
    page.get_by_role("checkbox", name="All that match").check()
    press_tab_until(page, "Discard")
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_contain_text("1 dead letter would be deleted for good.")
    boss.check_accessible()
    press_tab_until(page, "Yes, discard 1 dead letter")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("1 dead letter discarded")


def test_purge_by_hand_asks_first(visit: Visitor, site: Site) -> None:
    boss = visit()
    page = boss.page
    assert site.tidy.manage("runscheduler", "--once").returncode == 0
    boss.go(PAGE)
    page.get_by_role("button", name="Run todo.purge now").click()
    expect(page.locator("#content")).to_contain_text("would be deleted for good")
    boss.check_accessible()
    page.get_by_role("link", name="No, take me back").click()
    expect(page).to_have_url(site.address + PAGE)


def test_page_of_who_was_logged_out_meanwhile_asks_to_log_in(visit: Visitor, site: Site) -> None:
    boss = visit()
    boss.go(PAGE)
    expect(boss.page.locator("#stale")).to_be_hidden()
    boss.page.context.clear_cookies()
    expect(boss.page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_open_console_shows_that_the_database_is_away_and_that_it_is_back(
    visit: Visitor, site: Site
) -> None:
    boss = visit()
    page = boss.page
    boss.go("/admin/background/")
    away = render_to_string("tasks/console/away_live.html", {"broker_answers": True})
    page.route("**/admin/background/", lambda route: route.fulfill(status=503, body=away), times=1)
    page.evaluate("htmx.trigger('#live', 'refresh')")
    expect(page.locator("#live")).to_contain_text("the database cannot be read")
    expect(page.locator("#stale")).to_be_hidden()
    page.evaluate("htmx.trigger('#live', 'refresh')")
    expect(page.locator("#live")).to_contain_text("Schedules")
    boss.wrong.clear()  # What the browser itself writes about a 503.


def focused(page: Page) -> str:
    """Return what the element is called that the keyboard is at."""
    at = "document.activeElement"
    label = f"{at}.labels?.[0]?.innerText"
    name: str = page.evaluate(f"{at}.getAttribute('aria-label') || {label} || {at}.innerText || ''")
    return name


def press_tab_until(page: Page, name: str) -> None:
    for _ in range(100):
        page.keyboard.press("Tab")
        if focused(page) == name:
            return
    pytest.fail(f"{name!r} cannot be reached")


def test_without_a_script_everything_works(visit: Visitor, site: Site) -> None:
    assert site.tidy.manage("runscheduler", "--once").returncode == 0
    boss = visit()
    plain = boss.page.context.browser
    assert plain
    context = plain.new_context(java_script_enabled=False)
    context.add_cookies([{**cookie} for cookie in boss.page.context.cookies()])  # type: ignore[typeddict-item]
    try:
        page = context.new_page()
        page.goto(site.address + PAGE)
        page.get_by_role("link", name="Edit the schedule of runs.prune").click()
        page.fill("#id_crontab", "15 5 * * *")
        page.click("text=Show the next times, without saving")
        expect(page.locator("#content li")).to_have_count(5)
        expect(page.locator("#content")).to_contain_text("05:15:00")
        page.goto(site.address + PAGE)
        pause(page, "runs.prune")
    finally:
        context.close()


def test_moments_have_the_readers_own_clock_as_a_hint(visit: Visitor, site: Site) -> None:
    page = visit().page
    assert site.tidy.manage("runscheduler", "--once").returncode == 0
    for path in (PAGE, "/admin/tasks/schedule/"):
        page.goto(site.address + path)
        moment = page.locator("time.moment").first
        expect(moment).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
        hint = re.compile(r"^Your time: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+$")
        expect(moment).to_have_attribute("title", hint)
