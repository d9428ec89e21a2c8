"""The README's story, from sign-up to a todo that came back, walked word for word."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.checkout import ROOT
from tests.processes import Tidy

pytestmark = pytest.mark.e2e

HEADING = "### Two minutes, from sign-up to a todo that came back\n"

#: What a step of the story asks for: the words, and what is meant by them.
STEPS = re.compile(
    r"[Cc]hoose \*\*(?P<choose>[^*]+)\*\*"
    r"|then \*\*(?P<then>[^*]+)\*\*"
    r"|[Tt]ype `(?P<text>[^`]+)` as \*(?P<label>[^*]+)\*"
    r"|and\s+`(?P<text2>[^`]+)` as \*(?P<label2>[^*]+)\*"
    r"|press (?P<press>Enter)"
    r"|: `\.venv/bin/python manage\.py (?P<manage>[^`]+)`"
    r"|(?P<load>Load the page again)"
    r"|“(?P<see>[^”]+)”"
)

#: The story's words that lead to no step.
ASIDE = re.compile(r"`make run`|(?<!\*)\*(?:Todos|Completed)\*(?!\*)")


def story() -> str:
    """Return the numbered steps of the README's story, on one line."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition(HEADING)[2]
    return " ".join(text.partition("\n![")[0].split())


def steps() -> Iterator[re.Match[str]]:
    """Yield the steps of the story; each word that is marked in it belongs to one."""
    left, asides = ASIDE.subn("", story())
    assert asides == 3
    yield from STEPS.finditer(left)
    rest = STEPS.sub("", left)
    assert not re.search(r"[`*“”]", rest), rest


def choose(page: Page, name: str) -> None:
    """Press the button, or follow the link, whose name begins so."""
    begins = re.compile(rf"^{re.escape(name)}")
    found = page.get_by_role("button", name=begins).or_(page.get_by_role("link", name=begins))
    found.first.click()
    page.wait_for_load_state()


def walk(page: Page, tidy: Tidy, step: re.Match[str], *, name: str) -> None:
    """Do a step of the story; each of these tests signs up somebody of its own in robin's place."""
    said = {word: value.replace("robin", name) for word, value in step.groupdict().items() if value}
    acts: dict[str, Callable[[str], object]] = {
        "choose": lambda name: choose(page, name),
        "then": lambda name: choose(page, name),
        "text": lambda text: page.get_by_label(said["label"]).fill(text),
        "text2": lambda text: page.get_by_label(said["label2"]).fill(text),
        "press": page.keyboard.press,
        "manage": lambda command: tidy.manage(*command.split()),
        "load": lambda _: page.reload(),
        "see": lambda text: expect(page.get_by_text(text, exact=False).first).to_be_visible(),
    }
    for word, value in said.items():
        if word in acts:
            acts[word](value)


@pytest.mark.parametrize(
    ("scripts", "width", "theme"),
    [(True, 1280, "light"), (False, 390, "dark"), (True, 390, "light"), (False, 1280, "dark")],
)
def test_the_story_of_the_readme_is_true(
    visit: Visitor, *, scripts: bool, width: int, theme: str
) -> None:
    visitor = visit(
        None,
        theme=theme,
        java_script_enabled=scripts,
        viewport={"width": width, "height": 844},
    )
    name = f"robin{width}{theme}"
    visitor.go("/")
    walked = 0
    for step in steps():
        walk(visitor.page, visitor.site.tidy, step, name=name)
        walked += 1
    assert walked > 12
    assert visitor.page.url == f"{visitor.site.address}/"
