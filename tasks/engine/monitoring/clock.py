"""Ages by the database's clock, and how far this host's is from it."""

from datetime import datetime

from django.utils import timezone


def seconds_since(moment: datetime, now: datetime) -> float:
    """Return the age of something; never negative, as clocks differ."""
    return max(0.0, (now - moment).total_seconds())


def clock_ahead(now: datetime) -> float:
    """Return by how many seconds this host's clock is ahead of `now`, the database's time."""
    return (timezone.now() - now).total_seconds()
