"""A person and their list: at a desk, on a phone, without scripts, by keyboard, in two windows."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import PASSWORD, Site, Visit, Visitor
from tests.processes import wait_until

pytestmark = pytest.mark.e2e

#: A person of their own for each test, and the schedule of the nights to come.
PERSON = """
from tasks.engine.scheduler.defaults import add_missing_schedules
from accounts.models import User
from todos.services import TodoService
add_missing_schedules()
person = User.objects.create_user("{name}", password="{password}")
for title in {titles}:
    TodoService.create(user=person, title=title)
"""

TITLES = ("Call the dentist", "Water the plants", "Send the invoice")

#: At a desk and on a phone; in each theme; with scripts and without.
WINDOWS = (
    pytest.param("desk", 1280, "light", True, id="desk"),
    pytest.param("phone", 390, "dark", True, id="phone"),
    pytest.param("small", 320, "light", True, id="small"),
    pytest.param("plain", 390, "light", False, id="without-scripts"),
)

#: What a browser writes about answers that are no success, whatever a script makes of them.
BROWSERS_OWN = re.compile(
    r"Failed to load resource|Response Status Error Code 4|htmx:(?:sendError|afterRequest)|net::ERR"
)

CLICK_AND_LEAVE = """
    for (const button of document.querySelectorAll(".tool.delete")) button.click();
    document.querySelector("nav a[href='/trash/']").click();
"""

#: When the list has just been replaced, a tap hits what is in the same place now.
TAP_AFTER_THE_ANSWER = """
    ([x, y]) => document.body.addEventListener("htmx:afterSwap", () => {
        const tap = { detail: 1, clientX: x, clientY: y, bubbles: true, cancelable: true };
        document.elementFromPoint(x, y).dispatchEvent(new MouseEvent("click", tap));
    }, { once: true })
"""

UNCOVERED = """
    (element) => {
        const { left, top, width, height } = element.getBoundingClientRect();
        const seen = document.elementFromPoint(left + width / 2, top + height / 2);
        return element.contains(seen);
    }
"""

type Arrive = Callable[..., Visit]


@pytest.fixture
def arrive(visit: Visitor, site: Site) -> Arrive:
    """Log a new person in, and open their list."""

    def begin(name: str, *, width: int = 1280, theme: str = "light", scripts: bool = True) -> Visit:
        code = PERSON.format(name=name, password=PASSWORD, titles=TITLES)
        created = site.tidy.manage("shell", "-v0", "-c", code)
        assert created.returncode == 0, created.stderr
        window = {"width": width, "height": 800}
        begun = visit(name, theme=theme, viewport=window, java_script_enabled=scripts)
        begun.go("/")
        expect(begun.page.get_by_label("New todo")).to_be_focused()
        return begun

    return begin


def row(page: Page, title: str) -> Locator:
    return page.locator(".row", has=page.get_by_text(title, exact=True))


def says(page: Page, text: str) -> None:
    """Wait for a notice."""
    expect(page.locator("#notices")).to_contain_text(re.compile(spaced(text)))


def spaced(text: str) -> str:
    """Return a pattern of a text in which titles may be isolated from what surrounds them."""
    return re.escape(text).replace("“", "“\u2068?").replace("”", "\u2069?”")


def titles(page: Page, within: str = ".todos") -> list[str]:
    return page.locator(f"{within} .title").all_inner_texts()


def check(visit: Visit, *, scripts: bool = True) -> None:
    """Note what is not accessible, or wider than the window."""
    if scripts:  # What checks it is one.
        visit.check_accessible()
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def forgive(visit: Visit) -> None:
    """Forget what the browser has written of failures that the test has caused."""
    visit.wrong[:] = [line for line in visit.wrong if not BROWSERS_OWN.search(line)]


@pytest.mark.parametrize(("name", "width", "theme", "scripts"), WINDOWS)
def test_a_day_with_the_list(
    arrive: Arrive, *, name: str, width: int, theme: str, scripts: bool
) -> None:
    visit = arrive(f"day.{name}", width=width, theme=theme, scripts=scripts)
    page = visit.page
    check(visit, scripts=scripts)

    page.get_by_label("New todo").fill("Buy milk tomorrow")
    page.get_by_label("New todo").press("Enter")
    says(page, "Added “Buy milk tomorrow”.")
    expect(page.get_by_label("New todo")).to_be_focused()
    expect(page.get_by_label("New todo")).to_have_value("")
    expect(row(page, "Buy milk tomorrow").get_by_role("button", name="Due")).to_be_visible()
    check(visit, scripts=scripts)
    page.get_by_role("button", name=re.compile("^Due .* as .*Buy milk")).click()
    says(page, "“Buy milk” is due")
    expect(row(page, "Buy milk")).to_contain_text("due tomorrow")
    check(visit, scripts=scripts)

    page.get_by_role("link", name="Edit Buy milk").click()
    page.get_by_label("Title").fill("Buy oat milk")
    page.get_by_label("Description").fill("Two bottles")
    check(visit, scripts=scripts)
    page.get_by_role("button", name="Save").click()
    says(page, "Saved “Buy oat milk”.")
    expect(row(page, "Buy oat milk")).to_contain_text("Two bottles")

    page.get_by_role("button", name="Complete Buy oat milk").click()
    says(page, "Completed “Buy oat milk”. It leaves tonight.")
    expect(row(page, "Buy oat milk")).to_contain_text("leaves tonight")
    check(visit, scripts=scripts)
    page.get_by_role("button", name="Undo").click()
    says(page, "“Buy oat milk” is open again.")

    page.get_by_role("button", name="Delete Water the plants").click()
    says(page, "Deleted “Water the plants”.")
    expect(row(page, "Water the plants")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    says(page, "“Water the plants” is on your list again.")

    page.get_by_role("button", name="Complete Call the dentist").click()
    page.get_by_role("button", name="Clear 1 completed").click()
    says(page, "Cleared 1 completed todo.")
    page.get_by_role("button", name="Undo").click()
    says(page, "Brought back 1 todo.")
    page.get_by_role("button", name="Delete Send the invoice").click()
    says(page, "Deleted “Send the invoice”.")

    page.get_by_label("Search todos and trash").fill("in")
    page.get_by_label("Search todos and trash").press("Enter")
    expect(page.get_by_role("heading", name="Trash")).to_be_visible()
    check(visit, scripts=scripts)
    page.get_by_role("button", name="Restore Send the invoice").click()
    says(page, "“Send the invoice” is on your list again.")
    assert "/search/" in page.url


def test_what_is_typed_while_others_are_being_added_is_kept(arrive: Arrive) -> None:
    page = arrive("quick").page
    page.keyboard.type("One\nTwo\nThree\nTwo\nand so on")
    for title in ("One", "Three"):
        expect(row(page, title)).to_have_count(1)
    expect(row(page, "Two")).to_have_count(2)
    expect(page.get_by_label("New todo")).to_have_value("and so on")
    expect(page.get_by_label("New todo")).to_be_focused()
    assert titles(page)[:4] == ["Two", "Three", "Two", "One"]


@pytest.mark.parametrize("is_late", [False, True], ids=["at-once", "after-the-answer"])
@pytest.mark.parametrize(("name", "verb"), [("Complete", "Completed"), ("Delete", "Deleted")])
def test_a_double_click_does_a_thing_once(
    arrive: Arrive, *, name: str, verb: str, is_late: bool
) -> None:
    page = arrive(f"double.{verb}.{is_late}".lower()).page
    x, y = middle(page.get_by_role("button", name=f"{name} {TITLES[2]}"))
    if is_late:
        # The browser counts clicks; a finger's taps may all be first ones.
        page.evaluate(TAP_AFTER_THE_ANSWER, [x, y])
        page.mouse.click(x, y)
        says(page, f"{verb} “{TITLES[2]}”.")
        click_again(page)
    else:
        page.mouse.dblclick(x, y, delay=20)
        says(page, f"{verb} “{TITLES[2]}”.")
    page.reload()
    assert titles(page, "[data-rows=open]") == [TITLES[1], TITLES[0]]

    # Whoever goes on to another row waits for nothing. Not at the same place: the notice that comes
    # up may have moved the other row there, and then it is a second click.
    first, second = (
        page.get_by_role("button", name=f"Complete {title}") for title in (TITLES[0], TITLES[1])
    )
    box = second.bounding_box()
    assert box
    assert box["width"] > 30
    first.click(position={"x": 4, "y": box["height"] / 2})
    second.click(position={"x": box["width"] - 4, "y": box["height"] / 2})
    expect(page.locator("[data-rows=open]")).to_have_count(0)


def test_a_press_during_which_the_list_is_replaced_is_of_the_row_it_began_on(
    arrive: Arrive,
) -> None:
    page = arrive("pressed").page
    press(page, f"Complete {TITLES[1]}")
    # Meanwhile, the answer to an earlier click comes.
    page.get_by_role("button", name=f"Complete {TITLES[0]}").evaluate("(button) => button.click()")
    says(page, f"Completed “{TITLES[0]}”.")
    page.mouse.up()
    says(page, f"Completed “{TITLES[1]}”.")

    # Whoever has second thoughts, and lets go elsewhere, has not clicked.
    press(page, f"Delete {TITLES[2]}")
    page.get_by_role("button", name=f"Reopen {TITLES[0]}").evaluate("(button) => button.click()")
    says(page, f"“{TITLES[0]}” is open again.")
    page.mouse.move(2, 2)
    page.mouse.up()
    # Nor has the second press of a double-click another meaning than the first.
    press(page, f"Complete {TITLES[2]}")
    page.mouse.up()
    page.mouse.down(click_count=2)
    says(page, f"Completed “{TITLES[2]}”.")
    page.mouse.up(click_count=2)
    page.reload()
    assert titles(page, "[data-rows=open]") == [TITLES[0]]
    assert set(titles(page, "[data-rows=completed]")) == {TITLES[1], TITLES[2]}


def test_a_double_click_on_undo_undoes_once(arrive: Arrive) -> None:
    page = arrive("twice").page
    page.get_by_role("button", name=f"Complete {TITLES[1]}").click()
    x, y = middle(page.get_by_role("button", name="Undo"))
    page.mouse.click(x, y)
    says(page, f"“{TITLES[1]}” is open again.")
    click_again(page)
    page.reload()
    expect(page.get_by_role("button", name=f"Complete {TITLES[1]}")).to_be_visible()


def press(page: Page, name: str) -> None:
    """Press a button, and do not let go of it."""
    page.mouse.move(*middle(page.get_by_role("button", name=name)))
    page.mouse.down()


def click_again(page: Page) -> None:
    """Click where the pointer is, as the second click of a double-click."""
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)


def middle(control: Locator) -> tuple[float, float]:
    box = control.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_whoever_adds_todos_in_a_row_finds_each_offer_of_a_date_in_its_row(arrive: Arrive) -> None:
    visit = arrive("offers", width=390)
    page = visit.page
    page.keyboard.type("Buy milk tomorrow\nCall Kim\nPay today\n")
    says(page, "Added “Pay today”.")
    row(page, "Buy milk tomorrow").get_by_role("button", name="Due").click()
    says(page, "“Buy milk” is due")
    expect(row(page, "Buy milk")).to_contain_text("due tomorrow")
    expect(row(page, "Call Kim").get_by_role("button", name="Due")).to_have_count(0)
    expect(row(page, "Pay today").get_by_role("button", name="Due")).to_be_visible()
    check(visit)


def test_what_was_clicked_is_done_even_if_the_page_is_left_at_once(arrive: Arrive) -> None:
    page = arrive("hasty").page
    page.evaluate(CLICK_AND_LEAVE)
    page.wait_for_url("**/trash/")
    wait_until(lambda: shown(page) == len(TITLES), seconds=20, otherwise=page.content)


def shown(page: Page) -> int:
    """Open the page once more; return how many of the titles it shows."""
    page.reload()
    return sum(page.get_by_text(title, exact=True).count() for title in TITLES)


def test_the_list_by_keyboard_alone(arrive: Arrive) -> None:
    visit = arrive("keys")
    page, press = visit.page, visit.page.keyboard.press
    page.keyboard.type("jkxezn")  # The field has the focus: nothing but text.
    expect(page.get_by_label("New todo")).to_have_value("jkxezn")
    page.keyboard.type("?")
    expect(page.get_by_label("New todo")).to_have_value("jkxezn?")
    page.get_by_label("New todo").fill("")
    page.keyboard.type("?")  # Nothing begins so: whoever has just come finds the keys.
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    press("Escape")
    expect(page.get_by_label("New todo")).to_be_focused()
    expect(page.get_by_label("New todo")).to_have_value("")

    press("Escape")
    press("j")
    press("j")
    press("k")
    expect(page.get_by_role("button", name="Complete Send the invoice")).to_be_focused()
    press("x")
    says(page, "Completed “Send the invoice”.")
    expect(page.get_by_role("button", name="Complete Water the plants")).to_be_focused()
    press("z")
    says(page, "“Send the invoice” is open again.")
    expect(page.get_by_role("button", name="Complete Water the plants")).to_be_focused()

    press("e")
    expect(page.get_by_label("Title")).to_be_focused()
    expect(page.get_by_label("Title")).to_have_value("Water the plants")
    press("End")
    page.keyboard.type(" twice\n")
    says(page, "Saved “Water the plants twice”.")
    expect(page.get_by_role("link", name="Edit Water the plants twice")).to_be_focused()
    press("e")
    expect(page.get_by_label("Title")).to_be_focused()
    press("Escape")
    expect(page.get_by_role("link", name="Edit Water the plants twice")).to_be_focused()

    press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    check(visit)
    press("Escape")
    press("n")
    expect(page.get_by_label("New todo")).to_be_focused()
    press("Escape")
    press("Control+j")
    expect(page.get_by_label("New todo")).not_to_be_focused()
    press("/")
    page.keyboard.type("dentist\n")
    expect(row(page, "Call the dentist")).to_be_visible()
    expect(row(page, "Send the invoice")).to_have_count(0)


def test_keys_beside_an_open_form(arrive: Arrive) -> None:
    page = arrive("beside").page
    press = page.keyboard.press
    page.get_by_role("link", name=f"Edit {TITLES[1]}").click()
    expect(page.get_by_label("Title")).to_be_focused()
    page.get_by_role("button", name=f"Complete {TITLES[2]}").focus()
    press("x")
    says(page, f"Completed “{TITLES[2]}”.")
    expect(page.get_by_role("button", name=f"Complete {TITLES[0]}")).to_be_focused()

    # Into the form, and on from it.
    press("k")
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.type("!")
    press("Escape")
    expect(page.get_by_role("link", name="Cancel")).to_be_focused()
    press("j")
    expect(page.get_by_role("button", name=f"Complete {TITLES[0]}")).to_be_focused()


def test_a_key_that_is_held_down_completes_one_todo(arrive: Arrive) -> None:
    page = arrive("held").page
    page.get_by_role("button", name=f"Complete {TITLES[2]}").focus()
    page.keyboard.down("x")
    says(page, f"Completed “{TITLES[2]}”.")
    expect(page.get_by_role("button", name=f"Complete {TITLES[1]}")).to_be_focused()
    page.keyboard.down("x")  # The key repeats.
    page.keyboard.up("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    says(page, f"Completed “{TITLES[0]}”.")
    expect(page.get_by_role("button", name=f"Complete {TITLES[1]}")).to_be_visible()


def test_a_selection_in_the_trash_outlives_the_restoring_of_one(arrive: Arrive) -> None:
    visit = arrive("chosen")
    page = visit.page
    page.keyboard.type("".join(f"Todo {number}\n" for number in range(12)))
    says(page, "Added “Todo 11”.")
    page.evaluate("document.querySelectorAll('.tool.delete').forEach((one) => one.click())")
    expect(page.locator(".row")).to_have_count(0)
    visit.go("/trash/")
    page.get_by_role("checkbox", name="Todo 3").check()
    page.get_by_role("button", name="Restore Todo 5").click()
    says(page, "“Todo 5” is on your list again.")
    expect(page.get_by_role("checkbox", name="Todo 3")).to_be_checked()
    expect(page.locator(".trashed :checked")).to_have_count(1)

    # The message covers none of what is done with it, also at the end of the page.
    for height in (800, 640):
        page.set_viewport_size({"width": 320, "height": height})
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        for name in ("Restore selected", "Delete selected for good"):
            assert on_top(page, page.get_by_role("button", name=name)) == name
    check(visit)


@pytest.mark.parametrize("height", [640, 800])
def test_a_message_covers_nothing_that_the_tabulator_leads_to(arrive: Arrive, height: int) -> None:
    page = arrive(f"tab.{height}", width=320).page
    page.set_viewport_size({"width": 320, "height": height})
    page.keyboard.type("".join(f"Todo {number} tomorrow\n" for number in range(12)))
    says(page, "Added “Todo 11 tomorrow”.")
    page.evaluate("scrollTo(0, 0)")
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.evaluate("(element) => !!element.closest('.row')"):
            assert focused.evaluate(UNCOVERED)


def on_top(page: Page, control: Locator) -> str:
    """Return the words of what is seen in the middle of a control."""
    at = list(middle(control))
    return str(page.evaluate("([x, y]) => document.elementFromPoint(x, y).textContent", at))


def test_pictures_on_buttons_say_what_they_mean(arrive: Arrive) -> None:
    visit = arrive("words")
    page = visit.page
    for picture, word in ((".check", "Complete"), (".edit", "Edit"), (".delete", "Delete")):
        control = row(page, TITLES[0]).locator(picture)
        control.hover()
        expect(control).to_have_attribute("title", word)
        expect(control).to_have_accessible_name(f"{word} {TITLES[0]}")
    page.get_by_role("button", name=f"Complete {TITLES[1]}").focus()
    expect(page.get_by_role("button", name=f"Complete {TITLES[1]}")).to_have_attribute(
        "title", "Complete"
    )


def test_restore_stands_in_the_middle_of_its_row(arrive: Arrive) -> None:
    page = arrive("centred", width=390).page
    title = f"{TITLES[0]} {'and somebody else ' * 5}"
    page.keyboard.type(f"{title}\n")
    page.get_by_role("button", name=f"Delete {title.strip()}").click()
    says(page, "Deleted")
    page.get_by_label("Search todos and trash").fill("somebody")
    page.get_by_label("Search todos and trash").press("Enter")
    button = page.get_by_role("button", name="Restore")
    assert abs(middle(button)[1] - middle(page.locator(".row"))[1]) <= 1


def test_switched_off_shortcuts_do_nothing(arrive: Arrive, site: Site) -> None:
    visit = arrive("still")
    page = visit.page
    code = "from accounts.models import User; User.objects.filter(username='still').update"
    site.tidy.manage("shell", "-v0", "-c", f"{code}(shortcuts=False)")
    visit.go("/")
    expect(page.get_by_label("New todo")).to_be_focused()
    page.keyboard.type("?")
    expect(page.get_by_label("New todo")).to_have_value("?")
    page.keyboard.press("Escape")
    for key in ("j", "n", "?", "/"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement === document.body")
    expect(page.get_by_text("Keyboard shortcuts")).to_have_count(1)  # Of the closed dialog.


@pytest.mark.parametrize("scripts", [True, False])
def test_in_two_windows_no_edit_is_lost(arrive: Arrive, *, scripts: bool) -> None:
    visit = arrive(f"two.{scripts}".lower(), scripts=scripts)
    here, there = visit.page, visit.page.context.new_page()
    there.goto(here.url)
    for page in (here, there):
        page.get_by_role("link", name="Edit Call the dentist").click()
    there.get_by_label("Title").fill("Call the dentist at nine")
    there.get_by_role("button", name="Save").click()
    says(there, "Saved “Call the dentist at nine”.")
    here.get_by_label("Title").fill("Call the dentist at ten")
    here.get_by_role("button", name="Save").click()

    expect(here.get_by_role("alert")).to_contain_text("Call the dentist at nine")
    expect(here.get_by_label("Title")).to_have_value("Call the dentist at ten")
    check(visit, scripts=scripts)
    here.get_by_role("button", name="Save what I wrote").click()
    says(here, "Saved “Call the dentist at ten”.")

    there.get_by_role("button", name="Delete Call the dentist at nine").click()
    says(there, "Deleted “Call the dentist at")
    here.get_by_role("button", name="Complete Call the dentist at ten").click()
    says(here, "is not on your list any more: it is in the trash.")
    here.get_by_role("button", name="Restore").click()
    says(here, "is on your list again.")
    forgive(visit)


def test_an_open_form_survives_what_happens_elsewhere_on_the_list(arrive: Arrive) -> None:
    page = arrive("open").page
    page.get_by_role("link", name="Edit Water the plants").click()
    page.get_by_label("Title").fill("Water the plants, and")
    page.get_by_role("button", name="Complete Call the dentist").click()
    says(page, "Completed “Call the dentist”.")
    expect(page.get_by_label("Title")).to_have_value("Water the plants, and")
    page.get_by_label("Title").fill("Water the plants, and the fern")
    page.get_by_role("button", name="Save").click()
    says(page, "Saved “Water the plants, and the fern”.")
    expect(row(page, "Water the plants, and the fern")).to_have_count(1)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_message_covers_no_form(arrive: Arrive, width: int) -> None:
    page = arrive(f"covered.{width}", width=width).page
    page.keyboard.type("".join(f"Todo {number}\n" for number in range(12)))
    says(page, "Added “Todo 11”.")
    lowest = page.get_by_role("button", name="Undo").bounding_box()
    assert lowest
    assert lowest["y"] + lowest["height"] <= 800 - 16
    page.get_by_role("link", name="Edit Todo 5").click()
    for name in ("Save", "Cancel"):
        button = page.locator(".editing").get_by_text(name, exact=True)
        button.scroll_into_view_if_needed()
        x, y = middle(button)
        on_top = "([x, y]) => document.elementFromPoint(x, y).textContent"
        assert page.evaluate(on_top, [x, y]) == name
        # At the lower edge of the window, where messages float.
        button.evaluate("(element) => element.scrollIntoView({ block: 'end' })")
        assert page.evaluate(on_top, list(middle(button))) == name
    page.get_by_role("button", name="Save").click()
    says(page, "Saved “Todo 5”.")
    expect(page.locator("#notices .notice")).to_be_in_viewport(ratio=1)


def type_on(route: Route) -> None:
    """Type while a request is on its way."""
    route.request.frame.page.keyboard.type("Next")
    route.continue_()


def test_a_title_that_is_too_long_comes_back_to_be_shortened(arrive: Arrive) -> None:
    visit = arrive("long")
    page = visit.page
    page.get_by_label("New todo").fill("x" * 231)
    page.get_by_label("New todo").press("Enter")
    says(page, "A title has at most 200 characters; this one has 231.")
    expect(page.get_by_label("New todo")).to_have_value("x" * 231)
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    page.get_by_label("New todo").fill("Short")
    page.get_by_label("New todo").press("Enter")
    says(page, "Added “Short”.")
    expect(page.locator("#notices")).not_to_contain_text("A title has at most")

    # Whoever is typing the next todo already finds it in the message, for as long as they need it.
    page.route("**/todos/add/", type_on, times=1)
    page.keyboard.insert_text("y" * 231)
    page.keyboard.press("Enter")
    says(page, "y" * 231)
    expect(page.get_by_label("New todo")).to_have_value("Next")
    page.keyboard.press("Enter")
    says(page, "Added “Next”.")
    says(page, "y" * 231)
    check(visit)
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#notices")).not_to_contain_text("y")
    forgive(visit)


def test_without_a_connection_nothing_that_was_typed_is_lost(arrive: Arrive) -> None:
    visit = arrive("offline")
    page = visit.page
    page.context.set_offline(True)
    page.keyboard.type("Buy milk\nBuy bread\n")
    says(page, "No connection.")
    page.get_by_role("button", name="Complete Call the dentist").click()
    expect(page.locator(".trouble")).to_have_count(3)
    check(visit)

    page.context.set_offline(False)
    page.mouse.move(*middle(page.get_by_role("button", name="Try again").first))
    page.mouse.down()
    # An answer that comes meanwhile takes the message from the page and puts it in again.
    page.get_by_role("button", name="Try again").last.evaluate("(button) => button.click()")
    expect(row(page, "Buy milk")).to_have_count(1)
    expect(page.locator(".trouble")).to_have_count(2)
    page.mouse.up()
    expect(page.locator(".trouble")).to_have_count(1)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".trouble")).to_have_count(0)
    for title in ("Buy milk", "Buy bread"):
        expect(row(page, title)).to_have_count(1)
    expect(page.get_by_role("button", name="Reopen Call the dentist")).to_be_visible()
    forgive(visit)


def test_while_the_database_is_away_nothing_that_was_typed_is_lost(arrive: Arrive) -> None:
    visit = arrive("away")
    page = visit.page
    line = "Tidy cannot reach its data at the moment. It was not saved. Try again in a moment."
    page.route(
        "**/todos/add/",
        lambda route: route.fulfill(status=503, content_type="text/plain", body=line),
        times=1,
    )
    page.keyboard.type("Buy milk\n")
    expect(page.locator(".trouble")).to_contain_text(line)
    expect(page.locator(".trouble")).to_contain_text("Buy milk")
    page.get_by_role("button", name="Try again").click()
    expect(row(page, "Buy milk")).to_have_count(1)
    expect(page.locator(".trouble")).to_have_count(0)
    visit.wrong.clear()  # A 503 alone, which the test has made.


def test_whoever_has_to_log_in_again_finds_what_they_typed(arrive: Arrive) -> None:
    visit = arrive("again")
    page = visit.page
    page.context.clear_cookies(name="sessionid")
    page.keyboard.type("Buy milk\n")
    page.wait_for_url("**/accounts/login/**")
    visit.log_in("again")
    visit.go("/")
    says(page, "You had been logged out. This is not done yet: Buy milk")
    page.get_by_role("button", name="Try again").click()
    says(page, "Added “Buy milk”.")
    expect(row(page, "Buy milk")).to_have_count(1)
