"""What was tried, what was measured, and whether it is as promised."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


class Report:
    """A table that is printed as it grows.

    Attributes:
        missed: how many of its lines were not as promised.
    """

    def __init__(self) -> None:
        self.missed = 0
        self._began = monotonic()

    def act(self, title: str) -> None:
        say(f"\n{title} ({(monotonic() - self._began) / 60:.1f} min)\n")

    def check(self, what: str, measured: object, *, holds: bool) -> None:
        """Add a line."""
        self.missed += not holds
        say(f"  {'ok  ' if holds else 'MISS'}  {what:<72}  {measured}\n")

    @contextmanager
    def survives(self, what: str) -> Iterator[None]:
        """Add a line if the block fails, and go on after it."""
        try:
            yield
        except (RuntimeError, OSError, AssertionError, LookupError) as error:
            self.check(what, f"{type(error).__name__}: {error}", holds=False)

    def close(self) -> None:
        minutes = (monotonic() - self._began) / 60
        said = f"{self.missed} missed" if self.missed else "All as promised"
        say(f"\n{said}, in {minutes:.1f} minutes.\n")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
