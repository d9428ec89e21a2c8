"""The page on the API in a browser: everyone can read it, on a phone and on a desk."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.e2e

PAGE = "/api/v1/docs"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 320, "height": 640}

#: What is cut off at the edge of the screen, but for commands, which scroll in their own box.
BEYOND = """
    [...document.querySelectorAll("main *:not(pre *)")]
        .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
        .map((one) => one.outerHTML.slice(0, 80))
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_page_is_accessible_fits_and_breaks_no_policy(
    visit: Visitor, theme: str, size: dict[str, int]
) -> None:
    reader = visit(None, theme=theme, viewport=size)
    reader.go(PAGE)
    reader.check_accessible()
    page = reader.page
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.evaluate(BEYOND) == []


def test_contents_lead_to_an_operation_without_a_script(visit: Visitor) -> None:
    reader = visit("boss", java_script_enabled=False, viewport=PHONE)
    reader.go(PAGE)
    page = reader.page
    page.get_by_role("navigation", name="Contents").get_by_role("link", name="Add a todo").click()
    expect(page).to_have_url(f"{reader.site.address}{PAGE}#createTodo")
    expect(page.get_by_role("heading", name="Add a todo")).to_be_in_viewport()


def test_command_scrolls_in_its_own_box(visit: Visitor) -> None:
    reader = visit(None, viewport=PHONE)
    reader.go(f"{PAGE}#createTodo")
    page = reader.page
    expect(page.get_by_role("heading", name="Add a todo")).to_be_in_viewport()
    box = page.locator("article[aria-labelledby=createTodo] pre")
    assert box.evaluate("(box) => box.scrollWidth > box.clientWidth")
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(box) => box.scrollLeft > 0", arg=box.element_handle())
