"""Finds a Chromium for the browser tests, or gets one.

    python -m tests.browser.chromium

One that is on the machine serves; else Playwright's own download; else Debian's package, where this
user may install it. `TIDY_CHROMIUM` names one to use, and no other. Prints what is used, or in one
line why there is none.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.programs import runs

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def candidates() -> Iterator[Path]:
    """Yield where a Chromium might be; only the one that the environment names, if it does."""
    if named():
        yield Path(named())
        return
    yield from (Path(found) for name in NAMES if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        yield Path(playwright.chromium.executable_path)


def named() -> str:
    """Return the one that the environment names; nothing if it names none."""
    return os.environ.get("TIDY_CHROMIUM", "")


def find() -> Path | None:
    """Return a Chromium that starts; None if there is none."""
    return next((path for path in candidates() if starts(path)), None)


def starts(path: Path) -> bool:
    """Say whether a Chromium is there and runs."""
    if not path.is_file():
        return False
    return runs([str(path), "--version"], seconds=30)


def get() -> None:
    """Try to get one."""
    if runs([sys.executable, "-m", "playwright", "install", "chromium"]):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        runs(["apt-get", "update"])
        packages = ("chromium", "fonts-liberation")
        runs(["apt-get", "install", "--yes", "--no-install-recommends", *packages])


def main() -> None:
    """Find one, get one if there is none, and say which."""
    path = find()
    if path is None and named():
        sys.exit(f"TIDY_CHROMIUM names {named()}, which does not start as a Chromium.")
    if path is None:
        get()
        path = find()
    if path is None:
        sys.exit("No Chromium could be found or installed: install one for the browser tests.")
    sys.stdout.write(f"The browser tests use {path}.\n")


if __name__ == "__main__":
    main()
