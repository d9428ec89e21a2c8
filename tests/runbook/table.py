"""What was tried, and what came out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic


@dataclass
class Table:
    """Lines of figures, each with what it must be, if that matters."""

    tell: Callable[[str], None]
    misses: list[str] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Tell of a part, and how long it took."""
        self.tell(f"\n{name}\n")
        started = monotonic()
        yield
        self.tell(f"  {monotonic() - started:9.1f}  seconds\n")

    def add(self, what: str, found: object, *, wanted: object = None) -> None:
        """Tell what was found; note it as a miss if it is not what was wanted."""
        missed = wanted is not None and found != wanted
        if missed:
            self.misses.append(f"{what}: {found} (wanted: {wanted})")
        self.tell(f"  {found!s:>9}  {what}{f'   WANTED: {wanted}' if missed else ''}\n")
