"""Accounts in a browser: passkeys, an authenticator app, and every page in both themes."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PASSWORD, Site, Visit, Visitor

pytestmark = pytest.mark.e2e

#: Its pages are those of a site that sends mails; nobody answers there.
SETTINGS = {"EMAIL_URL": "smtp+plain://127.0.0.1:9"}

#: An authenticator as phones have one: it keeps passkeys, and knows its owner's finger.
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}

#: What pages show to who is not logged in, and to who is.
OUTSIDE = (
    *("login/", "signup/", "inactive/", "password/reset/", "password/reset/done/"),
    *("password/reset/key/done/", "password/reset/key/1-set-password/"),
    *("confirm-email/", "confirm-email/x/"),
)
INSIDE = (
    *("email/", "password/change/", "reauthenticate/", "sessions/", "logout/"),
    *("2fa/", "2fa/webauthn/", "2fa/webauthn/add/", "2fa/totp/activate/"),
)
#: Once there is an app.
WITH_APP = (
    *("2fa/", "2fa/recovery-codes/", "2fa/recovery-codes/generate/", "2fa/totp/deactivate/"),
    *("2fa/reauthenticate/",),
)

PERSON = f"""
from accounts.models import User
User.objects.filter(username="mia").delete()
User.objects.create_user("mia", "mia@example.com", "{PASSWORD}")
"""

#: What the app of a secret shows now.
CODE = """
from allauth.mfa.totp.internal.auth import *
print(format_hotp_value(hotp_value("{secret}", list(yield_hotp_counters_from_time())[-1])))
"""

in_both_themes = pytest.mark.parametrize("theme", ["light", "dark"])

type Begin = Callable[..., Visit]


@pytest.fixture
def begin(visit: Visitor, site: Site) -> Begin:
    """Begin a visit of Mia, who is new, with a device; she has not logged in.

    The site has a name: browsers keep no passkeys for an IP address.
    """

    def visiting(**options: Any) -> Visit:
        told = site.tidy.manage("shell", "-v0", "-c", PERSON)
        assert told.returncode == 0, told.stderr
        of_mia = visit(None, **options)
        of_mia.site = Site(site.address.replace("127.0.0.1", "localhost"), site.tidy)
        device = of_mia.page.context.new_cdp_session(of_mia.page)
        device.send("WebAuthn.enable")
        device.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
        return of_mia

    return visiting


def press(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("button", name=name, exact=True).click()


def follow(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("link", name=name, exact=True).click()


def type_password(page: Page) -> None:
    """Give the password once more."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Is it you?")
    page.get_by_label("Password").fill(PASSWORD)
    press(page, "Go on")


def log_in(visit: Visit) -> None:
    """Fill in the log-in form, and send it off."""
    visit.go("/accounts/login/")
    visit.page.get_by_label("User name or email address").fill("mia")
    visit.page.get_by_label("Password").fill(PASSWORD)
    visit.page.get_by_label("Password").press("Enter")


def is_in(page: Page) -> None:
    expect(log_out_button(page)).to_be_visible()


def log_out_button(page: Page) -> Locator:
    """Return the button at the top, which names nobody on a phone."""
    return page.get_by_role("banner").get_by_role("button", name="Log out")


def log_out(page: Page) -> None:
    log_out_button(page).click()
    expect(page.locator("#notices")).to_contain_text("You are logged out.")


def look(visit: Visit, *paths: str) -> None:
    """Check that pages are accessible, with one heading of the first level, and fit."""
    for path in paths:
        visit.go(f"/accounts/{path}")
        expect(visit.page.locator("h1")).to_have_count(1)
        visit.check_accessible()
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not visit.page.evaluate(wide), path


def add_passkey(visit: Visit, *, alone: bool) -> None:
    """Add a passkey, from the page of second factors on."""
    page = visit.page
    visit.go("/accounts/2fa/")
    follow(page, "Add a passkey")
    page.get_by_label("Log in with it alone").set_checked(alone)
    press(page, "Add it")
    expect(page.locator("#notices")).to_contain_text("The passkey is added.")


def test_passkey_is_added_renamed_used_alone_and_removed(begin: Begin) -> None:
    mia = begin()
    page = mia.page
    log_in(mia)
    is_in(page)
    mia.go("/accounts/2fa/")
    follow(page, "Add a passkey")
    type_password(page)
    page.get_by_label("Name").fill("Phone")
    page.get_by_label("Name").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Recovery codes")
    expect(page.locator(".codes li")).to_have_count(10)
    look(mia, "2fa/webauthn/")

    follow(page, "Rename")
    mia.check_accessible()
    page.get_by_label("Name").fill("Telephone")
    press(page, "Rename it")
    expect(page.get_by_text("Telephone")).to_be_visible()
    expect(page.get_by_text("Logs you in alone.")).to_be_visible()

    log_out(page)
    mia.go("/accounts/login/?next=/preferences/")
    press(page, "Use a passkey")
    is_in(page)
    expect(page).to_have_url(f"{mia.site.address}/preferences/")

    mia.go("/accounts/2fa/webauthn/")
    follow(page, "Remove")
    type_password(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Remove “Telephone”?")
    mia.check_accessible()
    press(page, "Remove it")
    expect(page.get_by_text("You have none.")).to_be_visible()
    log_out(page)
    log_in(mia)
    is_in(page)


def test_passkey_is_the_second_factor_and_asked_for_once_more(begin: Begin) -> None:
    mia = begin()
    page = mia.page
    log_in(mia)
    mia.go("/accounts/2fa/webauthn/add/")
    type_password(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Add a passkey")
    add_passkey(mia, alone=False)
    log_out(page)

    log_in(mia)
    expect(page.get_by_role("heading", level=1)).to_have_text("Your second factor")
    mia.check_accessible()
    press(page, "Use a passkey")
    is_in(page)

    mia.go("/accounts/2fa/recovery-codes/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Is it you?")
    follow(page, "Use a security key")
    mia.check_accessible()
    press(page, "Use a passkey")
    expect(page.get_by_role("heading", level=1)).to_have_text("Recovery codes")


def test_device_that_gives_no_passkey_is_told(begin: Begin) -> None:
    mia = begin()
    mia.go("/accounts/login/")
    press(mia.page, "Use a passkey")
    expect(mia.page.locator("#passkey_error")).to_contain_text("your device gave no passkey")
    mia.check_accessible()


def test_pages_work_without_scripts(begin: Begin, visit: Visitor) -> None:
    begin()
    mia = visit(None, java_script_enabled=False)
    log_in(mia)
    is_in(mia.page)
    log_out(mia.page)
    mia.go("/accounts/login/")
    expect(mia.page.get_by_text("This browser knows no passkeys.")).to_be_hidden()
    expect(mia.page.get_by_role("button", name="Use a passkey")).to_be_hidden()


@in_both_themes
def test_every_page_is_accessible(begin: Begin, theme: str) -> None:
    for viewport in ({"width": 1280, "height": 900}, {"width": 390, "height": 844}):
        mia = begin(theme=theme, viewport=viewport)
        page = mia.page
        look(mia, *OUTSIDE)
        mia.go("/accounts/signup/")
        page.get_by_label("User name").fill("mia")
        page.get_by_label("Email address").fill("x@example.com")
        page.get_by_label("Password").fill("12345678")
        press(page, "Sign up")
        expect(page.locator(".errorlist").first).to_be_visible()
        mia.check_accessible()

        log_in(mia)
        is_in(page)
        mia.go("/accounts/2fa/totp/activate/")
        type_password(page)
        expect(page.get_by_role("img", name="QR code")).to_be_visible()
        look(mia, *INSIDE)

        mia.go("/accounts/2fa/totp/activate/")
        secret = page.locator(".secret").inner_text()
        code = mia.site.tidy.manage("shell", "-v0", "-c", CODE.format(secret=secret)).stdout
        page.get_by_label("Authenticator code").fill(code.strip())
        press(page, "Use this app")
        expect(page.locator(".codes li")).to_have_count(10)
        look(mia, *WITH_APP)
        recovery = page.context.request.get(
            f"{mia.site.address}/accounts/2fa/recovery-codes/download/"
        ).text()
        log_out(page)
        log_in(mia)
        page.get_by_label("Code").fill("wrong")
        press(page, "Log in")
        expect(page.locator(".errorlist").first).to_contain_text("This is not right")
        mia.check_accessible()
        page.get_by_label("Code").fill(recovery.split()[0])
        press(page, "Log in")
        is_in(page)


@in_both_themes
def test_page_for_who_may_not_see_the_admin_is_accessible(begin: Begin, theme: str) -> None:
    mia = begin(theme=theme)
    log_in(mia)
    is_in(mia.page)
    mia.go("/admin/")
    expect(mia.page.get_by_role("heading", level=1)).to_have_text("This page is not for you")
    mia.check_accessible()
    # The browser itself says so of a page that is an error.
    mia.wrong = [line for line in mia.wrong if "responded with a status of 403" not in line]
