"""Moments as the broker holds them, in milliseconds since the epoch."""

from datetime import UTC, datetime

#: Later ones are none: no calendar goes far enough to show them in each time zone.
END = datetime(9000, 1, 1, tzinfo=UTC)


def moment_of(milliseconds: float) -> datetime | None:
    """Return a moment; None if it is none: anybody may have written it."""
    if 0 <= milliseconds < END.timestamp() * 1000:
        return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return None
