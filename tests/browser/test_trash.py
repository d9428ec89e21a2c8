"""A person gets back what the cleanup took: real worker, real browser, with and without scripts."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PASSWORD, TELL_OF_VIOLATIONS, Site, Visit

pytestmark = pytest.mark.e2e

#: Whoever looks for what was taken last night has it back after this.
SECONDS_TO_FIND = 15

TITLES = ("Buy milk", "Water the plants", "Call the dentist")

#: A person of her own for each test, with completed todos; and the schedule of the nights to come.
PERSON = """
from django.utils import timezone
from accounts.models import User
from tasks.engine.scheduler.defaults import add_missing_schedules
add_missing_schedules()
from todos.models import Todo
person = User.objects.create_user("{name}", password="{password}")
for title in {titles}:
    Todo.objects.create(user=person, title=title, completed_at=timezone.now())
"""

#: At a desk and on a phone; in each theme; with scripts and without.
WINDOWS = (
    pytest.param("desk", 1280, "light", True, id="desk"),
    pytest.param("phone", 390, "dark", True, id="phone"),
    pytest.param("plain", 390, "light", False, id="without-scripts"),
)

type Arrive = Callable[..., Visit]


@pytest.fixture
def arrive(browser: Browser, site: Site) -> Iterator[Arrive]:
    """Log a new person in; at the end of the test, nothing may have gone wrong."""
    with ExitStack() as stack:

        def begin(
            name: str, *, width: int = 1280, theme: str = "light", scripts: bool = True
        ) -> Visit:
            code = PERSON.format(name=name, password=PASSWORD, titles=TITLES)
            created = site.tidy.manage("shell", "-v0", "-c", code)
            assert created.returncode == 0, created.stderr
            visit = stack.enter_context(window(browser, site, width, theme, scripts=scripts))
            visit.log_in(name)
            return visit

        yield begin


@contextmanager
def window(
    browser: Browser, site: Site, width: int, theme: str, *, scripts: bool
) -> Iterator[Visit]:
    context = browser.new_context(
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": 800},
        java_script_enabled=scripts,
    )
    context.add_init_script(TELL_OF_VIOLATIONS)
    context.set_default_timeout(20_000)
    try:
        visit = Visit(context.new_page(), site)
        yield visit
        assert not visit.wrong, "\n".join(visit.wrong)
    finally:
        context.close()


def sweep(site: Site) -> None:
    """Have a worker sweep everyone's todos."""
    with site.tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker:
        done = site.tidy.manage("cleanup_todos", "--enqueue", "--wait=60")
        assert done.returncode == 0, done.stderr
        assert worker.stop() == 0


def check(visit: Visit, *, scripts: bool) -> None:
    """Note what is not accessible, or wider than the window."""
    if scripts:  # What checks it is one.
        visit.check_accessible()
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("name", "width", "theme", "scripts"), WINDOWS)
def test_after_a_night_the_next_visit_says_what_went_and_one_click_brings_it_back(
    arrive: Arrive, site: Site, *, name: str, width: int, theme: str, scripts: bool
) -> None:
    visit = arrive(f"night.{name}", width=width, theme=theme, scripts=scripts)
    page = visit.page
    sweep(site)

    began = monotonic()
    visit.go("/")
    expect(page.get_by_text(re.compile("Tidy took 3 completed todos"))).to_be_visible()
    page.get_by_role("link", name="See in the trash").click()
    for title in TITLES:
        expect(page.get_by_role("checkbox", name=title)).to_be_visible()
    page.get_by_role("button", name="Bring all 3 back").click()
    expect(page.locator("#notices")).to_contain_text(
        "Brought back 3 todos. They stay at least until"
    )
    assert monotonic() - began < SECONDS_TO_FIND

    check(visit, scripts=scripts)
    expect(page.get_by_text("Nothing from that night is in the trash any more.")).to_be_visible()
    visit.go("/")
    expect(page.get_by_text(re.compile("Tidy took"))).to_have_count(0)


@pytest.mark.parametrize(("name", "width", "theme", "scripts"), WINDOWS)
def test_undo_of_the_notice_and_of_the_trash(
    arrive: Arrive, site: Site, *, name: str, width: int, theme: str, scripts: bool
) -> None:
    visit = arrive(f"undo.{name}", width=width, theme=theme, scripts=scripts)
    page = visit.page
    sweep(site)

    visit.go("/")
    check(visit, scripts=scripts)
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(page.locator("#notices")).to_contain_text("Brought back 3 todos.")
    visit.go("/trash/")
    expect(page.get_by_text("The trash is empty.")).to_be_visible()


@pytest.mark.parametrize(("name", "width", "theme", "scripts"), WINDOWS)
def test_a_selection_comes_back_and_another_is_deleted_for_good_after_one_question(
    arrive: Arrive, site: Site, *, name: str, width: int, theme: str, scripts: bool
) -> None:
    visit = arrive(f"some.{name}", width=width, theme=theme, scripts=scripts)
    page = visit.page
    sweep(site)
    visit.go("/trash/")
    check(visit, scripts=scripts)
    selected = page.get_by_role("button", name="Restore selected")
    expect(selected).to_be_hidden()

    page.get_by_role("checkbox", name="Buy milk").check()
    check(visit, scripts=scripts)
    selected.click()
    expect(page.locator("#notices")).to_contain_text("Brought back 1 todo. It stays at least until")

    page.get_by_role("checkbox", name="Water the plants").check()
    page.get_by_role("button", name="Delete selected for good").click()
    expect(page.get_by_role("heading", name="Delete 1 todo for good?")).to_be_visible()
    check(visit, scripts=scripts)
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator("#notices")).to_contain_text("Deleted 1 todo for good.")

    page.get_by_role("button", name="Restore Call the dentist").click()
    expect(page.locator("#notices")).to_contain_text("Brought back 1 todo.")
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    check(visit, scripts=scripts)


def test_the_trash_is_emptied_by_keyboard_alone(arrive: Arrive, site: Site) -> None:
    visit = arrive("keys")
    page = visit.page
    sweep(site)
    visit.go("/trash/")
    press_on(visit, "Empty the trash")
    expect(page.get_by_text("3 todos are deleted for good")).to_be_visible()
    check(visit, scripts=True)
    press_on(visit, "Delete for good")
    expect(page.locator("#notices")).to_contain_text("Deleted 3 todos for good.")


def press_on(visit: Visit, name: str) -> None:
    """Go to a link or button with the tabulator, and press Enter."""
    for _ in range(40):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("document.activeElement.textContent").strip() == name:
            visit.page.keyboard.press("Enter")
            return
    raise AssertionError(f"the tabulator does not lead to {name}")
