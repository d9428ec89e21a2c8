"""What all schedulers know together: what has been seen, what was told, what is to be delivered.

It is one small document, which `store.py` keeps. Moments are seconds since the epoch.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Literal, Self, cast

from tasks.engine.alerts.typed import typed

type Event = Literal["alert", "more", "over", "check-in", "test"]


@dataclass
class Seen:
    """A kind of problem.

    Attributes:
        since: when it was first seen.
        at: when it was last seen.
        lasted: for how many seconds it has been seen, without pauses.
        told: whether an alert has told of it.
    """

    since: float
    at: float
    lasted: float = 0.0
    told: bool = False


@dataclass(frozen=True)
class Line:
    """A line of the verdict, and since when it has been there."""

    text: str
    since: float


@dataclass
class Episode:
    """The time from the first alert until the verdict has been well for long enough.

    Attributes:
        id: also that of its first message.
        since: when its first problem was seen.
        lines: those of its latest alert.
        told_at: when that was written.
        alerts: how many there were lately.
        channels: those that got one, and are to learn of the end.
    """

    id: str
    since: float
    lines: list[Line]
    told_at: float
    alerts: int = 1
    channels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Message:
    """What is to be said.

    Attributes:
        id: the same for each channel, and for each attempt.
        episode: the id of the episode's first message; its own for one without.
        at: when it was written.
        lines: each in one line, and not long.
        more: lines that were left out.
        until: when the episode ended.
    """

    id: str
    event: Event
    episode: str
    at: float
    since: float
    lines: tuple[Line, ...] = ()
    more: int = 0
    until: float | None = None


@dataclass
class Delivery:
    """A message that a channel has still to deliver.

    Attributes:
        claim: of the process that tries at present; empty if none does.
        claimed_until: then another may.
        failures: attempts that failed.
        reason: of the last failure.
    """

    message: str
    channel: str
    queued_at: float
    due_at: float
    claim: str = ""
    claimed_until: float = 0.0
    failures: int = 0
    reason: str = ""


@dataclass
class State:
    """The document.

    Attributes:
        version: grows with each change; of two copies, the higher one is later.
        looked_at: when somebody last looked.
        well_since: since when every look has found all well; None if the last one has not.
        seen: by kind.
        ended_at: when the last episode was over.
        flaps: how many episodes followed the one before closely, up to now.
        messages: those that a delivery needs, by id.
        deliveries: in the order of their messages.
        checked_in: the slot of each task that the last check-in told of.
    """

    version: int = 0
    looked_at: float = 0.0
    well_since: float | None = None
    seen: dict[str, Seen] = field(default_factory=dict)
    episode: Episode | None = None
    ended_at: float = 0.0
    flaps: int = 0
    messages: dict[str, Message] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    checked_in: dict[str, float] = field(default_factory=dict)

    def dump(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        """Return what `dump` has written; a blank one if that cannot be read."""
        try:
            return cls.parse(text)
        except ValueError:
            return cls()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `dump` has written.

        Raises:
            ValueError: this version cannot read it.
        """
        try:
            return cast("Self", typed(cls, json.loads(text)))
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("It is no state of the alerts.") from error
