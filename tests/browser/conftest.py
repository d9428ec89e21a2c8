"""A site as operators see it: real processes, and a real browser that notes what goes wrong."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Response,
    expect,
    sync_playwright,
)

from tests.browser import chromium
from tests.processes import Tidy, wait_until
from tests.running_dev import get
from tests.seam.injection import Value
from tests.servers import free_port, postgresql_database, valkey_server

#: A page's scripts run for a moment: to optimize them costs more time than it saves.
SCRIPTS = "--js-flags=--no-opt"

FLAGS = (
    SCRIPTS,
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

#: What axe checks: WCAG 2.2, levels A and AA.
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")

#: Asks axe for violations alone: it would describe each element that is as it should be, too.
AXE = Axe().axe_script
FIND_VIOLATIONS = """
    (rules) => axe.run({ runOnly: rules, resultTypes: ["violations"] })
        .then((found) => found.violations)
"""

#: Has the page itself tell of what its Content-Security-Policy keeps it from doing.
TELL_OF_VIOLATIONS = """
    document.addEventListener("securitypolicyviolation", (event) => {
        console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
    });
"""

#: How long (ms) a page may take to show what is expected: this machine may be busy.
expect.set_options(timeout=30_000)


@dataclass(frozen=True)
class Allowance:
    """A rule that elements of somebody else's making may break.

    Attributes:
        rule: its id.
        elements: a CSS selector.
        reason: why it cannot be kept.
    """

    rule: str
    elements: str
    reason: str


#: Each is still needed: a test of the page that has them fails when one is not.
ALLOWANCES = (
    Allowance(
        "aria-input-field-name",
        ".select2-selection, .select2-selection__rendered",
        "Select2, in Django's autocomplete fields, takes no name from the field's label.",
    ),
    Allowance(
        "aria-required-attr",
        ".select2-selection[aria-expanded=true]",
        "Select2 says which list it opens in the way of ARIA 1.0, by aria-owns.",
    ),
    Allowance("label", ".select2-search__field", "Select2 does not name the field to search by."),
    Allowance(
        "color-contrast",
        ".select2-results__option--highlighted",
        "Django's own colours, white on light blue, in the light theme.",
    ),
    Allowance(
        "aria-prohibited-attr",
        ".selector .help-tooltip",
        "Django's choice of groups and permissions names the pictures before its filters.",
    ),
)

#: The folder of the documentation's pictures, to take those that are there again.
PICTURES = os.environ.get("TIDY_PICTURES")

PASSWORD = "c0rrect horse"

LOG_IN = "/accounts/login/"

#: The cookie that a form must know.
TOKEN = "csrftoken"

#: boss may do everything; looker may see what holds no text of people, and do nothing.
PEOPLE = f"""
from django.contrib.auth.models import Permission
from accounts.models import User
User.objects.create_superuser("boss", password="{PASSWORD}")
looker = User.objects.create_user("looker", password="{PASSWORD}", is_staff=True)
looker.user_permissions.set(Permission.objects.filter(
    codename__in=["view_taskrun", "view_schedule", "view_process", "view_user"]
))
"""


@dataclass
class Site:
    """A site that is being served.

    Attributes:
        address: such as http://127.0.0.1:8000.
        tidy: starts its other processes.
    """

    address: str
    tidy: Tidy


@dataclass
class Visit:
    """A browser's page, and what went wrong on it.

    Attributes:
        wrong: one line for each thing that did.
        allowed: what axe found and `ALLOWANCES` let pass.
    """

    page: Page
    site: Site
    wrong: list[str] = field(default_factory=list)
    allowed: set[Allowance] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("response", self._look)

    def go(self, path: str) -> None:
        """Open a page of the site."""
        self.page.goto(self.site.address + path)

    def log_in(self, name: str) -> None:
        """Log in as the form does, without showing it."""
        context = self.page.context
        address = self.site.address + LOG_IN
        context.request.get(address)
        (token,) = [cookie["value"] for cookie in context.cookies() if cookie["name"] == TOKEN]
        answer = context.request.post(
            address,
            form={"login": name, "password": PASSWORD, "csrfmiddlewaretoken": token},
            max_redirects=0,
        )
        assert answer.status == 302, answer.text()

    def check_accessible(self) -> None:
        """Note what axe finds against WCAG 2.2 AA."""
        # A click does not wait for the next page's scripts, which may still be changing it.
        self.page.wait_for_load_state()
        self.page.evaluate(AXE)
        for rule in self.page.evaluate(FIND_VIOLATIONS, list(RULES)):
            for node in rule["nodes"]:
                allowance = self._allowance(rule["id"], node["target"])
                if allowance:
                    self.allowed.add(allowance)
                else:
                    self.wrong.append(
                        f"{self.page.url}: {rule['id']} ({rule['help']}) "
                        f"at {node['target']}: {node['html']}"
                    )

    def _allowance(self, rule: str, target: list[str]) -> Allowance | None:
        matches = "([at, allowed]) => document.querySelector(at)?.matches(allowed) ?? false"
        for allowance in ALLOWANCES:
            if allowance.rule == rule and self.page.evaluate(
                matches, [target[-1], allowance.elements]
            ):
                return allowance
        return None

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(f"{self.page.url}: {message.text}")

    def _look(self, response: Response) -> None:
        if response.status >= 500:
            self.wrong.append(f"{response.url}: {response.status}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium. Without one, the tests fail."""
    path = chromium.find()
    if path is None:
        pytest.fail("There is no Chromium for the browser tests: run make chromium", pytrace=False)
    # It ends with the module: while it runs, Django refuses to use the database in this thread.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    checkout: Path,
    postgresql: Path,
    migrated: str,
) -> Iterator[Site]:
    """A site with demo data, and without processes.

    Its module may name a `LIVENESS_SECONDS`, and further `SETTINGS` of the environment.
    """
    folder = tmp_path_factory.mktemp("browser")
    with ExitStack() as stack:
        database = stack.enter_context(postgresql_database(postgresql, template=migrated))
        (folder / "valkey").mkdir()
        broker = stack.enter_context(valkey_server(folder / "valkey"))
        tidy = Tidy(
            checkout,
            {
                "DJANGO_DEBUG": "true",
                "DJANGO_SECRET_KEY": "browser",
                "DATABASE_URL": database,
                "REDIS_URL": broker,
                "TASKS_LIVENESS_SECONDS": str(getattr(request.module, "LIVENESS_SECONDS", 5)),
                # So that there is progress to be seen.
                "TODO_SWEEP_BATCH_SIZE": "5",
                "TODO_SWEEP_PAUSE": "5",
                **getattr(request.module, "SETTINGS", {}),
            },
            logs=folder,
            starts_forks=True,
        )
        # Each visitor logs in, all from one address, and no test is about how long a password can
        # be guessed at.
        tidy.inject(
            Value("django.contrib.auth.hashers:Argon2PasswordHasher.time_cost", 1),
            Value("django.contrib.auth.hashers:Argon2PasswordHasher.memory_cost", 64),
            Value("django.conf:settings.ACCOUNT_RATE_LIMITS", value=False),
        )
        for command in (
            # Axe takes seconds for a page with a hundred rows, and says nothing more of it.
            ("seed_demo", "--users=20", "--todos=80", "--seed=7"),
            ("shell", "-v0", "-c", PEOPLE),
        ):
            done = tidy.manage(*command)
            assert done.returncode == 0, done.stderr
        port = free_port()
        stack.enter_context(tidy.start("runserver", "--noreload", f"127.0.0.1:{port}"))
        wait_until(lambda: answers(port), seconds=30, otherwise=lambda: "the site did not start")
        yield Site(f"http://127.0.0.1:{port}", tidy)


type Visitor = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visitor]:
    """Begin a visit; at the end of the test, nothing may have gone wrong on its pages."""
    with ExitStack() as stack:

        def begin(name: str | None = "boss", *, theme: str = "light", **options: Any) -> Visit:
            return stack.enter_context(visiting(browser, site, name, theme, **options))

        yield begin


@contextmanager
def visiting(
    browser: Browser, site: Site, name: str | None, theme: str, **options: Any
) -> Iterator[Visit]:
    """Use a fresh browser in a colour scheme; check in the end that nothing went wrong.

    Args:
        browser: to open a window of.
        site: to visit.
        name: who is logged in; None for nobody.
        theme: light or dark.
        options: further ones of Playwright's contexts, such as `java_script_enabled`.
    """
    window = {"viewport": {"width": 1200, "height": 900}, **options}
    context = browser.new_context(color_scheme="dark" if theme == "dark" else "light", **window)
    context.add_init_script(TELL_OF_VIOLATIONS)
    context.set_default_timeout(20_000)
    visit = Visit(context.new_page(), site)
    try:
        if name is not None:
            visit.log_in(name)
        yield visit
        # A window in which a page is about to arrive may never close.
        visit.page.wait_for_load_state()
        assert not visit.wrong, "\n".join(visit.wrong)
    finally:
        context.close()


def answers(port: int) -> bool:
    """Say whether the site can be reached."""
    try:
        return get(port, LOG_IN) == 200
    except OSError:
        return False


def picture(visit: Visit, name: str, *, full_page: bool = True) -> None:
    """Take a picture of the page again, if that is wanted and there is one.

    Args:
        visit: shows the page.
        name: of the file, without its ending.
        full_page: all of the page, not what fits into the window.
    """
    path = Path(PICTURES or "") / f"{name}.png"
    if PICTURES and path.exists():
        visit.page.screenshot(path=path, full_page=full_page)
