"""An operator's morning after a bad night, as docs/operations.md tells it, walked word for word."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from html import escape
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site, Visitor
from tests.checkout import ROOT
from tests.mail_server import MailServer, mail_server
from tests.processes import Tidy, wait_until
from tests.seam.injection import Value

pytestmark = pytest.mark.e2e

STORY = re.compile(r"^## An operator's morning\n(.*?)^## ", re.DOTALL | re.MULTILINE)
STEP = re.compile(r"^\d+\. (.*?)(?=^\d+\. |^$)", re.DOTALL | re.MULTILINE)

#: What the words of a step ask for. Whatever is marked in it is one of these.
MARKS = re.compile(
    r"[Ii]n the row `(?P<row>[^`]+)`, choose \*\*(?P<in_row>[^*]+)\*\*"
    r"|\*\*(?P<choose>[^*]+)\*\*"
    r"|[Tt]ype `(?P<text>[^`]+)` as \*(?P<label>[^*]+)\*"
    r"|“(?P<said>[^”]+)”"
    r"|\*(?P<name>[^*]+)\*"
    r"|`(?P<code>[^`]+)`"
)

#: A step that is read in a mail.
MAIL = re.compile(r"(A|Another) mail\b")

#: What the story calls the site.
EXAMPLE = "tidy.example.org"

#: The site of the story.
SETTINGS = {
    "TODO_KEEP_COMPLETED_DAYS": "30",
    # So slow that a cleanup is still at work when it is stopped.
    "TODO_SWEEP_BATCH_SIZE": "1",
    "TODO_SWEEP_PAUSE": "10",
}

WORKER = ("rundramatiq", "--processes=1", "--threads=2")

#: The night before the morning: a slot of each daily schedule is still to come, and the cleanup's
#: has too short a keep time.
EVENING = """
from datetime import timedelta
from tasks.engine.database import database_now
from tasks.engine.models import Schedule, TaskRun
TaskRun.objects.all().delete()
cleanup = Schedule.objects.get(task="todo.cleanup")
cleanup.arguments = {"keep_days": 0}
cleanup.save()
Schedule.objects.exclude(crontab="").update(
    effective_since=database_now() - timedelta(days=1), last_slot=None
)
"""

#: Makes a role such as production's, and takes a permission away from it.
ROLE = """
CREATE ROLE {role} LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO {role};
REVOKE ALL ON accounts_session FROM {role};
"""

#: Prints how many runs have failed, and how many have not ended, but for pings.
COUNT = """
from tasks.engine.models import TaskRun
runs = TaskRun.objects.exclude(task="ping")
print(runs.filter(state="failed").count(), runs.unfinished().count())
"""


def steps() -> list[str]:
    """Return the steps of the story, each on one line and without its links."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    found = STORY.search(text)
    assert found
    plain = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", found[1])
    return [" ".join(step.split()) for step in STEP.findall(plain + "\n")]


def marks(step: str) -> Iterator[re.Match[str]]:
    """Yield what a step asks for; nothing that is marked in it is anything else."""
    yield from MARKS.finditer(step)
    rest = MARKS.sub("", step)
    assert not re.search(r"[`*“”]", rest), rest


def pattern(words: str, *, whole: bool = False) -> re.Pattern[str]:
    """Return what matches words of the story, where numbers of several digits are examples.

    None of those is zero: what is being swept is not undone before there is any.
    """
    parts = (
        r"[1-9][\d,]*".join(re.escape(text) for text in re.split(r"\d[\d,]+", word))
        for word in words.split()
    )
    text = r"\s+".join(parts)
    return re.compile(rf"^\s*{text}\s*$" if whole else text)


@dataclass
class Morning:
    """An operator's browser, and their mails."""

    page: Page
    site: Site
    mail: MailServer

    def walk(self, step: str) -> None:
        """Do what a step asks for, and see what it says is to be seen."""
        story = step.replace(f"https://{EXAMPLE}", self.site.address)
        story = story.replace(EXAMPLE, str(urlsplit(self.site.address).hostname))
        if MAIL.match(step):
            self.read_mail(until=next(mark["said"] for mark in marks(story) if mark["said"]))
        for mark in marks(story):
            self.do(mark)

    def do(self, mark: re.Match[str]) -> None:
        acts: dict[str, Callable[[], object]] = {
            "in_row": lambda: self.choose(mark["in_row"], self.row(mark["row"])),
            "choose": lambda: self.choose(mark["choose"], self.page.locator("body")),
            "label": lambda: self.page.get_by_label(mark["label"]).fill(mark["text"]),
            "said": lambda: self.see(pattern(mark["said"])),
            "name": lambda: self.see(pattern(mark["name"])),
            "code": lambda: self.see(re.compile(re.escape(mark["code"]))),
        }
        assert mark.lastgroup
        acts[mark.lastgroup]()

    def row(self, name: str) -> Locator:
        return self.page.get_by_role("row").filter(has=self.page.get_by_text(name, exact=True))

    def choose(self, words: str, within: Locator) -> None:
        """Click what has these words: a link, a button, what unfolds, or a box's label."""
        named = within.locator("a, button, summary, label").filter(
            has_text=pattern(words, whole=True), visible=True
        )
        saves = within.locator(f"input[type=submit][value='{words}']")
        named.or_(saves).first.click()
        self.page.wait_for_load_state()

    def see(self, words: re.Pattern[str]) -> None:
        """Wait until these words are on the page, by itself."""
        expect(self.page.locator("body")).to_contain_text(words, use_inner_text=True)

    def read_mail(self, *, until: str) -> None:
        """Show the last mail, once there is one with this in its subject, as mail programs do."""
        wait_until(
            lambda: bool(self.mail.mails) and until in self.mail.mails[-1]["Subject"],
            seconds=30,
            otherwise=lambda: f"{[mail['Subject'] for mail in self.mail.mails]}",
        )
        mail = self.mail.mails[-1]
        linked = re.sub(r"(http://\S+)", r'<a href="\1">\1</a>', escape(mail.get_content()))
        self.page.goto("about:blank")
        self.page.set_content(f"<h1>{escape(mail['Subject'])}</h1><pre>{linked}</pre>")


@contextmanager
def without_a_permission(tidy: Tidy) -> Iterator[Tidy]:
    """Yield processes that may not use the table of sessions, in the same database."""
    database, role = tidy.settings["DATABASE_URL"], f"night_{uuid4().hex}"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(ROLE.format(role=role).encode())
        try:
            url = database.replace("postgres@", f"{role}@")
            yield replace(tidy, settings={**tidy.settings, "DATABASE_URL": url})
        finally:
            admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def pass_a_bad_night(tidy: Tidy, *, seed: int) -> None:
    """Have the slots of a night fail for two reasons, in a worker that is gone in the morning."""
    for command in (
        ("seed_demo", "--users=20", "--todos=1500", f"--seed={seed}"),
        ("runscheduler", "--once"),
        ("shell", "-v0", "-c", EVENING),
    ):
        done = tidy.manage(*command)
        assert done.returncode == 0, done.stderr
    with without_a_permission(tidy) as at_night:
        at_night.inject(actors="night")
        with at_night.start(*WORKER) as worker, tidy.start("runscheduler") as scheduler:
            wait_until(
                lambda: tidy.manage("shell", "-v0", "-c", COUNT).stdout.split() == ["3", "0"],
                seconds=60,
                otherwise=worker.output,
            )
            assert scheduler.stop() == 0
            assert worker.stop() == 0


def with_alerts(site: Site, mail: MailServer) -> Tidy:
    """Return processes that send alerts, and soon."""
    alerting = replace(
        site.tidy,
        settings={
            **site.tidy.settings,
            "EMAIL_URL": mail.url,
            "ALERT_EMAILS": "ops@example.org",
            "SITE_URL": site.address,
        },
    )
    episodes = "tasks.engine.alerts.episodes"
    alerting.inject(Value(f"{episodes}:LASTING_SECONDS", 2.0))
    alerting.inject(Value(f"{episodes}:LOOK_SECONDS", 0.5))
    return alerting


@pytest.fixture(scope="module")
def mail() -> Iterator[MailServer]:
    """Where alerts go. It has to be there before the browser, whose loop stands in its way."""
    with mail_server() as server:
        yield server


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (320, "dark")])
def test_an_operators_morning_goes_as_the_story_says(
    mail: MailServer, visit: Visitor, site: Site, *, width: int, theme: str
) -> None:
    mail.mails.clear()
    pass_a_bad_night(site.tidy, seed=width)
    with ExitStack() as stack:
        tidy = with_alerts(site, mail)
        worker = stack.enter_context(tidy.start(*WORKER))
        worker.wait_for("Worker process is ready")
        scheduler = stack.enter_context(tidy.start("runscheduler"))
        boss = visit(theme=theme, viewport={"width": width, "height": 900})
        morning = Morning(boss.page, site, mail)
        for step in steps():
            morning.walk(step)
        assert len(steps()) > 10
        assert scheduler.stop() == 0
        assert worker.stop() == 0
