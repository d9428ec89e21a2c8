"""Messages until they are delivered: each by each channel once, and in order.

A process claims a delivery, tries it, and settles it. If it dies in between, its claim runs out and
another process tries again: a message is delivered once, and after a crash perhaps twice.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.engine.alerts.state import Delivery, Message, State

#: How long a claim holds: longer than any attempt may take.
CLAIM_SECONDS = 90.0

#: How far the clocks of two processes may be apart while they cannot ask the database's.
SKEW_SECONDS = 60.0

#: The pauses after failures: the first, twice that after the next one and so on, up to the longest.
FIRST_PAUSE_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 15 * 60.0

#: A message that could not be delivered for so long is given up.
GIVE_UP_SECONDS = 24 * 60 * 60.0

#: Deliveries that one channel keeps; older ones make room.
MOST_WAITING = 50

#: How the channel of the dead man's switch is called: of its messages, only the latest counts.
CHECK_IN = "check-in"


@dataclass(frozen=True)
class Undelivered:
    """A channel that fails, since when its oldest message waits, and why.

    Attributes:
        kind: `mail`, `webhook` or `check-in`.
    """

    channel: str
    kind: str
    since: datetime
    reason: str


def kind_of(channel: str) -> str:
    """Return the kind of a channel, of which there may be several."""
    return channel.partition(":")[0]


def failing(channel: str) -> str:
    """Return the kind of problem that a channel which fails is."""
    return f"undelivered by {channel}"


def queue(state: State, message: Message, channels: Collection[str], *, now: float) -> None:
    """Have channels deliver a message."""
    for channel in channels:
        waiting = [each for each in state.deliveries if each.channel == channel]
        for old in waiting if channel == CHECK_IN else waiting[: 1 - MOST_WAITING]:
            state.deliveries.remove(old)
        state.deliveries.append(Delivery(message.id, channel, queued_at=now, due_at=now))
        state.messages[message.id] = message
    drop_messages(state)


def keep_only(state: State, channels: Collection[str]) -> None:
    """Drop what waits for channels that are no longer in the settings."""
    state.deliveries = [each for each in state.deliveries if each.channel in channels]
    drop_messages(state)


def drop_messages(state: State) -> None:
    """Drop messages that no delivery needs."""
    needed = {each.message for each in state.deliveries}
    state.messages = {name: each for name, each in state.messages.items() if name in needed}


def due(state: State, channels: Collection[str], now: float) -> Delivery | None:
    """Return what one of these channels is to deliver now, unless a process tries already."""
    for channel in channels:
        for delivery in state.deliveries:
            if delivery.channel != channel:
                continue
            claimed = lies_ahead(delivery.claimed_until, now, at_most=CLAIM_SECONDS)
            if not claimed and not lies_ahead(delivery.due_at, now, at_most=LONGEST_PAUSE_SECONDS):
                return delivery
            break  # The next ones wait for it.
    return None


def lies_ahead(moment: float, now: float, *, at_most: float) -> bool:
    """Say whether a moment is still to come; one that is too far ahead is of a wrong clock."""
    return now < moment <= now + at_most + SKEW_SECONDS


def claim(state: State, channels: Collection[str], *, token: str, now: float) -> None:
    """Claim what one of these channels is to deliver now, if anything."""
    if delivery := due(state, channels, now):
        delivery.claim = token
        delivery.claimed_until = now + CLAIM_SECONDS


def claimed(state: State, token: str) -> Delivery | None:
    """Return the delivery of a claim; None if there is none, or another process took it over."""
    return next((each for each in state.deliveries if each.claim == token), None)


def settle(state: State, *, token: str, failure: str, now: float) -> None:
    """Note what has become of an attempt: why it failed, or that it did not if that is empty."""
    delivery = claimed(state, token)
    if delivery is None:
        return
    if not failure or now - delivery.queued_at >= GIVE_UP_SECONDS:
        state.deliveries.remove(delivery)
        drop_messages(state)
        return
    pause = min(FIRST_PAUSE_SECONDS * 2**delivery.failures, LONGEST_PAUSE_SECONDS)
    delivery.failures += 1
    delivery.reason = failure
    delivery.due_at = now + pause
    delivery.claim, delivery.claimed_until = "", 0.0


def undelivered(state: State) -> list[Undelivered]:
    """Return the channels that fail: one attempt may fail, and be made up for by the next."""
    found: dict[str, Undelivered] = {}
    for each in state.deliveries:
        if each.failures > 1 and each.channel not in found:
            since = datetime.fromtimestamp(each.queued_at, UTC)
            kind = kind_of(each.channel)
            found[each.channel] = Undelivered(each.channel, kind, since, each.reason)
    return list(found.values())
