"""The commands of docs/operations.md, as they stand there."""

import re
from pathlib import Path

from tests.checkout import ROOT

PAGE = ROOT / "docs/operations.md"

#: A block that is tried: the chapters that it belongs to, its language, and its text.
BLOCK = re.compile(r"^<!-- runbook: ([\w -]+) -->\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path = PAGE) -> list[tuple[list[str], str, str]]:
    """Return the blocks that are tried: their chapters, their language and their text."""
    text = page.read_text(encoding="utf-8")
    return [(names.split(), language, code) for names, language, code in BLOCK.findall(text)]


def chapter(name: str, page: Path = PAGE) -> str:
    """Return the commands of a chapter, one after the other.

    Args:
        name: the chapter.
        page: the page of another version.

    Raises:
        LookupError: the page has no such chapter.
    """
    found = [code for names, _, code in blocks(page) if name in names]
    if not found:
        raise LookupError(f"{page} has no block of the chapter {name}.")
    return "".join(found)


def chapters() -> set[str]:
    return {name for names, _, _ in blocks() for name in names}
