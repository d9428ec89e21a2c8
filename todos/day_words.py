"""How pages and mails name a day, and last night."""

from datetime import date, datetime, time, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import pgettext

from todos.leaving import EVENING_HOUR, MORNING_HOUR


def day_words(day: date, *, now: datetime | None = None) -> str:
    """Return a day such as "Mon 7 December"; with its year, if another one than at `now`."""
    if day.year == timezone.localdate(now).year:
        # Translators: of a day of this year, such as "Mon 7 December".
        return date_format(day, pgettext("date format", "D j F"))
    # Translators: of a day of another year, such as "Mon 7 December 2026".
    return date_format(day, pgettext("date format", "D j F Y"))


def is_last_night(moment: datetime, *, now: datetime) -> bool:
    """Say whether something happened in the night before today, in the reader's time zone."""
    then, today = timezone.localtime(moment), timezone.localdate(now)
    if then.date() == today:
        return then.hour < MORNING_HOUR
    return then.date() == today - timedelta(days=1) and then.hour >= EVENING_HOUR


def last_evening(*, now: datetime) -> datetime:
    """Return when the night before today began, in the reader's time zone."""
    yesterday = timezone.localdate(now) - timedelta(days=1)
    return datetime.combine(yesterday, time(EVENING_HOUR), timezone.get_current_timezone())
