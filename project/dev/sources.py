"""Notices when the project's code changes."""

from contextlib import suppress
from itertools import chain
from pathlib import Path
from time import monotonic

LOOK_SECONDS = 1.0

#: What a process reads once and then keeps: modules, templates of pages and mails, translations.
SUFFIXES = frozenset({".py", ".html", ".txt", ".mo"})

#: What no program of Tidy's loads.
ELSEWHERE = frozenset({"tests", "docs", "var"})


class Sources:
    """The files of the packages in a folder that a running program goes on using as they were."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._look()
        self._next_look_at = 0.0

    def changed(self) -> bool:
        """Return whether a file has been added, changed or deleted since this last said so."""
        if monotonic() < self._next_look_at:
            return False
        before, self._seen = self._seen, self._look()
        self._next_look_at = monotonic() + LOOK_SECONDS
        return self._seen != before

    def _look(self) -> dict[Path, int]:
        found = {}
        packages = (path for path in self._folder.glob("[!.]*/") if path.name not in ELSEWHERE)
        for path in chain.from_iterable(package.glob("**/*.*") for package in packages):
            if path.suffix in SUFFIXES:
                with suppress(FileNotFoundError):  # It has just been deleted.
                    found[path] = path.stat().st_mtime_ns
        return found
