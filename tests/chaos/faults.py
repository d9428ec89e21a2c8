"""What was wrong, and when: the record that everything else is held against."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import time


@dataclass
class Fault:
    """Something that is wrong for a while.

    Attributes:
        kind: what, such as `database away`.
        began: seconds since 1970.
        ended: None while it lasts.
    """

    kind: str
    began: float = field(default_factory=time)
    ended: float | None = None

    def end(self) -> None:
        """Note that it is over."""
        if self.ended is None:
            self.ended = time()

    def overlaps(self, start: float, end: float, *, grace: float = 0) -> bool:
        """Say whether it was there between two moments; `grace` (seconds) makes it last longer."""
        return self.began <= end and (self.ended is None or self.ended + grace >= start)


class Faults:
    """All of a performance's faults."""

    def __init__(self) -> None:
        self.all: list[Fault] = []

    def begin(self, kind: str) -> Fault:
        """Note that something is wrong from now on."""
        fault = Fault(kind)
        self.all.append(fault)
        return fault

    def between(
        self, start: float, end: float, *, kinds: Iterable[str] = (), grace: float = 0
    ) -> list[Fault]:
        """Return those that were there at any time between two moments.

        Args:
            start: seconds since 1970.
            end: the same.
            kinds: only these, if any are named.
            grace: how long (seconds) a fault counts after its end.
        """
        wanted = set(kinds)
        return [
            fault
            for fault in self.all
            if fault.overlaps(start, end, grace=grace) and (not wanted or fault.kind in wanted)
        ]
