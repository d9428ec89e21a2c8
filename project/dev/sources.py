"""Notices when the project's code changes."""

from contextlib import suppress
from pathlib import Path
from time import monotonic

LOOK_SECONDS = 1.0


class Sources:
    """The Python files of the packages in a folder, except those of tests."""

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
        for path in self._folder.glob("[!.]*/**/*.py"):
            if path.relative_to(self._folder).parts[0] != "tests":
                with suppress(FileNotFoundError):  # It has just been deleted.
                    found[path] = path.stat().st_mtime_ns
        return found
