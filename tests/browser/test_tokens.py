"""Tokens, as people make, copy and revoke them in a browser."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, Site, Visit, Visitor

pytestmark = pytest.mark.e2e

PAGE = "/preferences/"
DESK, NARROW = {"width": 1280, "height": 900}, {"width": 320, "height": 640}

LONG_NAME = "W" * 100

#: She has a token of each kind: one is used, and one is expired.
PERSON = f"""
from datetime import timedelta
from django.utils import timezone
from accounts.models import Access, Token, User
from accounts.tokens.services import TokenService
User.objects.filter(username="zoe").delete()
zoe = User.objects.create_user("zoe", "zoe@example.com", "{PASSWORD}")
for name, access in (("{LONG_NAME}", "read"), ("Phone", "calendar"), ("Old", "write")):
    TokenService.create(user=zoe, name=name, access=Access(access))
now = timezone.now()
Token.objects.filter(name="Phone").update(last_used_at=now)
Token.objects.filter(name="Old").update(expires_at=now - timedelta(days=1))
"""

type Begin = Callable[..., Visit]


@pytest.fixture
def begin(visit: Visitor, site: Site) -> Begin:
    """Begin a visit of Zoe to her preferences."""

    def visiting(**options: Any) -> Visit:
        told = site.tidy.manage("shell", "-v0", "-c", PERSON)
        assert told.returncode == 0, told.stderr
        visit_of_zoe = visit("zoe", **options)
        visit_of_zoe.go(PAGE)
        return visit_of_zoe

    return visiting


def make(page: Page, name: str, access: str) -> None:
    """Fill in the form of a new token, and prove who is asking."""
    page.get_by_label("Name").fill(name)
    page.get_by_role("radio", name=access, exact=True).check()
    page.get_by_role("button", name="Make a token").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your new token")


@pytest.mark.parametrize("script", [True, False])
def test_token_is_made_shown_once_and_revoked(begin: Begin, *, script: bool) -> None:
    page = begin(java_script_enabled=script).page
    make(page, "Backup", "read")
    secret = page.locator("#secret").inner_text()
    assert re.fullmatch(r"tidy_\w{8}_\w{32}", secret)

    page.get_by_role("link", name="Back to your tokens").click()

    expect(page).to_have_url(re.compile("/preferences/#tokens$"))
    row = page.get_by_role("listitem").filter(has_text="Backup")
    expect(row).to_contain_text(f"{secret[:14]}…")
    assert secret not in page.content()
    row.get_by_role("button", name="Revoke").click()
    expect(page.locator("#notices")).to_contain_text("The token is revoked.")
    expect(row).to_have_count(0)


def test_secret_and_line_to_try_it_are_copied(begin: Begin) -> None:
    page = begin(permissions=["clipboard-read", "clipboard-write"]).page
    make(page, "Backup", "read and change")
    for number, element in enumerate(("#secret", "#example")):
        expect(page.get_by_role("button", name="Copy")).to_have_count(2 - number)
        page.get_by_role("button", name="Copy").first.click()
        expect(page.get_by_role("button", name="Copied")).to_have_count(number + 1)
        page.locator(element).click()
        assert page.evaluate("getSelection().toString()") == page.locator(element).inner_text()


def test_no_button_offers_what_a_browser_without_scripts_cannot_do(begin: Begin) -> None:
    page = begin(java_script_enabled=False).page
    make(page, "Tablet", "calendar of due dates")
    expect(page.locator("#secret")).to_contain_text("/calendar/tidy_")
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, NARROW])
def test_pages_are_accessible_and_fit(begin: Begin, theme: str, size: dict[str, int]) -> None:
    visit = begin(theme=theme, viewport=size)
    page = visit.page

    def check() -> None:
        visit.check_accessible()
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]

    check()
    page.get_by_role("button", name="Make a token").click()
    expect(page.locator("#id_name_error")).to_be_visible()
    check()
    for access in ("read", "calendar of due dates"):
        visit.go("/accounts/tokens/")
        page.get_by_label("Name").fill(f"{access} {LONG_NAME}"[:100])
        page.get_by_role("radio", name=access, exact=True).check()
        page.get_by_role("button", name="Make a token").click()
        if access == "read":
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Go on").click()
        expect(page.locator("#secret")).to_be_visible()
        check()
