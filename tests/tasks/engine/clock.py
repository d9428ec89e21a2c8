"""The clock by which schedulers claim slots, set by a test."""

from datetime import UTC, datetime

TWO = datetime(2026, 3, 10, 2, tzinfo=UTC)


class Clock:
    """The database's clock, as the tests set it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now
