"""When a person's completed todos leave the list, as pages say it."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cached_property

from django.conf import settings
from django.utils import timezone
from django.utils.formats import time_format
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from todos.models import TodoFields
from todos.rules import kept_until

#: When a night begins and ends, in words such as "tonight".
EVENING_HOUR, MORNING_HOUR = 18, 6

type NextCleanup = Callable[[datetime], datetime | None]


def next_cleanup_after(moment: datetime) -> datetime | None:
    """Return when the first cleanup after a moment is due; None while none is to run."""
    find: NextCleanup = import_string(settings.TODO_NEXT_CLEANUP)
    return find(moment)


class Leaving:
    """When the completed todos of one person leave their list.

    Attributes:
        takes_part: whether the cleanup takes any of them.
        keep_days: how long each stays after it was completed, at least.
    """

    def __init__(self, user: User, *, now: datetime) -> None:
        self._now = now
        self.takes_part = user.is_active and user.auto_cleanup
        days = user.keep_completed_days
        self.keep_days = settings.TODO_KEEP_COMPLETED_DAYS if days is None else days

    @cached_property
    def next_cleanup(self) -> datetime | None:
        """When the next cleanup is due, whether or not it takes anything; None while paused."""
        return next_cleanup_after(self._now)

    def of(self, todo: TodoFields) -> datetime | None:
        """Return when the cleanup is due that takes a completed todo; None if none will."""
        if not self.takes_part or todo.completed_at is None or self.next_cleanup is None:
            return None
        kept = kept_until(
            completed_at=todo.completed_at,
            restored_at=todo.restored_at,
            keep_days=self.keep_days,
        )
        return self.next_cleanup if kept < self.next_cleanup else next_cleanup_after(kept)

    def words(self, todo: TodoFields) -> str:
        """Return when a completed todo leaves, in words such as "leaves tonight"."""
        if not self.takes_part:
            return _("stays: you switched cleaning off")
        cleanup = self.of(todo)
        if cleanup is None:
            return _("stays: the nightly cleanup is paused")
        return _("leaves %(when)s") % {"when": when(cleanup, now=self._now)}


def when(cleanup: datetime, *, now: datetime) -> str:
    """Return when a cleanup runs, for its reader: "tonight", "today at 11:00", "in 3 days"."""
    local, here = timezone.localtime(cleanup), timezone.localtime(now)
    if is_at_night(local):
        days = (evening_of(local) - here.date()).days
        if days <= 0 and cleanup - now < timedelta(days=1):
            return _("tonight")
        days = max(days, 1)  # In the small hours: the night that follows this one.
    else:
        days = (local.date() - here.date()).days
        time = time_format(local, "H:i")
        if days == 0:
            return _("today at %(time)s") % {"time": time}
        if days == 1:
            return _("tomorrow at %(time)s") % {"time": time}
    return ngettext("in %(days)d day", "in %(days)d days", days) % {"days": days}


def is_at_night(local: datetime) -> bool:
    """Say whether a local time is at night."""
    return not MORNING_HOUR <= local.hour < EVENING_HOUR


def evening_of(local: datetime) -> date:
    """Return the day on which the night of a local time began."""
    return local.date() - timedelta(days=local.hour < MORNING_HOUR)
