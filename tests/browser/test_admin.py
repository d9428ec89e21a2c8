"""What staff do in the admin's own pages: by mouse, by keyboard alone, in both themes."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ALLOWANCES, PASSWORD, Site, Visitor

pytestmark = pytest.mark.e2e

TODOS = "/admin/todos/todo/"

in_both_themes = pytest.mark.parametrize("theme", ["light", "dark"])

#: Remembers what somebody with a mouse could use on a page: what is drawn, whatever its tabindex.
REMEMBER_CONTROLS = """
    window.controls = [...document.querySelectorAll(
        "a[href], button, input, select, textarea, summary, [role=button], [tabindex='0']"
    )].filter((control) => !control.disabled && control.getClientRects().length
        && control.checkVisibility({visibilityProperty: true}));
    window.controls.map((control) => control.outerHTML);
"""

#: Which of them the keyboard is at: -1 if none.
FOCUSED = "window.controls.indexOf(document.activeElement)"

TODOS_OF_BOSS = """
from accounts.models import User
from todos.services import TodoService
boss = User.objects.get(username="boss")
for title in ("First", "Second", "Third"):
    TodoService.create(user=boss, title=title)
"""


@in_both_themes
def test_wrong_password_is_refused_and_the_right_one_leads_where_one_wanted_to_go(
    visit: Visitor, site: Site, theme: str
) -> None:
    nobody = visit(None, theme=theme)
    page = nobody.page
    nobody.go(TODOS)
    nobody.check_accessible()
    submit_login(page, "boss", "wrong")
    expect(page.get_by_role("alert").first).to_contain_text("do not belong together")
    nobody.check_accessible()
    submit_login(page, "boss", PASSWORD)
    expect(page).to_have_url(site.address + TODOS)
    expect(page.locator("#user-tools")).to_contain_text("boss")


def submit_login(page: Page, name: str, password: str) -> None:
    """Fill the form in and send it off."""
    page.fill("#id_login", name)
    page.fill("#id_password", password)
    page.press("#id_password", "Enter")


@in_both_themes
def test_forms_are_accessible_empty_filled_and_with_errors(visit: Visitor, theme: str) -> None:
    boss = visit(theme=theme)
    page = boss.page
    boss.go("/admin/accounts/user/?q=looker")
    page.get_by_role("link", name="looker", exact=True).click()
    boss.check_accessible()
    for path in ("/admin/accounts/user/add/", "/admin/password_change/"):
        boss.go(path)
        boss.check_accessible()

    boss.go(f"{TODOS}add/")
    page.click("input[name=_save]")
    expect(page.locator(".errornote")).to_be_visible()
    boss.check_accessible()

    page.get_by_role("combobox").click()
    expect(page.locator(".select2-search__field")).to_be_focused()  # A moment after it opens.
    page.keyboard.type("looker")
    expect(page.get_by_role("option")).to_have_text(["looker"])
    boss.check_accessible()
    needed = {one for one in ALLOWANCES if theme == "light" or one.rule != "color-contrast"}
    assert boss.allowed == needed
    page.keyboard.press("Enter")
    page.fill("#id_title", f"Water the plants, {theme}")
    page.click("input[name=_save]")
    expect(page.locator(".messagelist")).to_contain_text("was added successfully")


@in_both_themes
def test_todo_is_deleted_after_a_confirmation_and_restored_from_the_trash(
    visit: Visitor, theme: str
) -> None:
    boss = visit(theme=theme)
    page = boss.page
    boss.go(TODOS)
    first = page.locator("#result_list .field-id a").first
    number = first.inner_text()
    first.click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#content")).to_contain_text("Are you sure")
    boss.check_accessible()
    page.get_by_role("button", name="No, take me back").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator(".messagelist")).to_contain_text("was deleted successfully")
    boss.check_accessible()

    boss.go(f"/admin/todos/trashedtodo/{number}/change/")
    boss.check_accessible()
    page.select_option("select[name=CHANGE_FORM-action]", "restore")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".messagelist")).to_contain_text("1 todo restored.")
    boss.go(f"{TODOS}{number}/change/")
    expect(page.locator("#id_title")).to_be_visible()


@in_both_themes
def test_selection_is_deleted_after_a_confirmation(visit: Visitor, theme: str) -> None:
    boss = visit(theme=theme)
    page = boss.page
    boss.go(TODOS)
    boxes = page.locator("#result_list input[name=_selected_action]").all()
    for box in boxes[:2]:
        box.check()
    expect(page.locator(".action-counter")).to_contain_text(f"2 of {len(boxes)} selected")
    boss.check_accessible()
    page.select_option("select[name=action]", "delete_selected")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#content")).to_contain_text("can be restored from the trash")
    boss.check_accessible()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator(".messagelist")).to_contain_text("2 todos")


def test_all_of_the_list_of_todos_is_reached_by_keyboard_and_an_action_run(
    visit: Visitor, site: Site
) -> None:
    made = site.tidy.manage("shell", "-v0", "-c", TODOS_OF_BOSS)
    assert made.returncode == 0, made.stderr
    boss = visit()
    page = boss.page
    boss.go(f"{TODOS}?q=boss&state=open")
    controls: list[str] = page.evaluate(REMEMBER_CONTROLS)
    reached: set[int] = set()
    for _ in controls:
        page.keyboard.press("Tab")
        reached.add(page.evaluate(FOCUSED))
    assert [control for at, control in enumerate(controls) if at not in reached] == []

    walk_to(page, "tr:nth-child(2) input[name=_selected_action]")
    page.keyboard.press("Space")
    expect(page.locator(".action-counter")).to_have_text("1 of 3 selected")
    walk_to(page, "select[name=action]", by="Shift+Tab")
    page.keyboard.type("Complete")
    walk_to(page, ".actions button")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("1 todo completed.")
    expect(page.locator("#result_list .field-short_title")).to_have_text(["Third", "First"])


def walk_to(page: Page, selector: str, *, by: str = "Tab") -> None:
    """Press a key until the keyboard is at an element."""
    for _ in range(200):
        page.keyboard.press(by)
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{selector} cannot be reached")
