"""The last ping that was answered: it went through scheduler, broker, worker and database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from tasks.engine.monitoring.clock import seconds_since
from tasks.engine.monitoring.schedules import ScheduleStatus

PING = "ping"

#: This many slots of the ping in a row without an answer are a problem.
MAX_PINGS_LOST = 3


@dataclass(frozen=True, kw_only=True)
class LastPing:
    """When a ping was last answered, if ever.

    Attributes:
        stale: MAX_PINGS_LOST slots have passed since, and no pause of its queue explains that.
    """

    answered_at: datetime | None
    age_seconds: float | None
    stale: bool


def find_last_ping(
    schedules: Iterable[ScheduleStatus], now: datetime, *, held_up: bool = False
) -> LastPing:
    """Return the last ping that was answered; `held_up` if its queue is paused, or was just now."""
    ping = next((one for one in schedules if (one.row.task, one.row.name) == (PING, "")), None)
    answered_at = ping.last_success.finished_at if ping and ping.last_success else None
    return LastPing(
        answered_at=answered_at,
        age_seconds=seconds_since(answered_at, now) if answered_at else None,
        stale=ping is not None and not held_up and is_stale(ping, answered_at, now),
    )


def is_stale(ping: ScheduleStatus, answered_at: datetime | None, now: datetime) -> bool:
    """Say whether too many slots have passed since the last answer, or since the ping's start."""
    if not ping.row.is_active or not ping.recurrence:
        return False
    since = max(ping.row.effective_since, answered_at or ping.row.effective_since)
    slots = list(islice(ping.row.starts_until(now), MAX_PINGS_LOST))
    return len(slots) == MAX_PINGS_LOST and slots[-1] > since
