"""When a person's completed todos leave the list, as pages say it."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from todos.models import TodoFields
from todos.rules import kept_until

#: A cleanup that runs before this hour belongs to the night that began on the day before; one from
#: EVENING_HOUR on, to the night of its own day.
MORNING_HOUR, EVENING_HOUR = 12, 18

type NextCleanup = Callable[[datetime], datetime | None]


def next_cleanup_after(moment: datetime) -> datetime | None:
    """Return when the first cleanup after a moment is due; None while none is to run."""
    find: NextCleanup = import_string(settings.TODO_NEXT_CLEANUP)
    return find(moment)


class Leaving:
    """When the completed todos of one person leave their list."""

    def __init__(self, user: User, *, now: datetime) -> None:
        self._now = now
        self._takes_part = user.is_active and user.auto_cleanup
        days = user.keep_completed_days
        self._keep_days = settings.TODO_KEEP_COMPLETED_DAYS if days is None else days

    @cached_property
    def next_cleanup(self) -> datetime | None:
        """When the next cleanup is due, whether or not it takes anything; None while paused."""
        return next_cleanup_after(self._now)

    def of(self, todo: TodoFields) -> datetime | None:
        """Return when the cleanup is due that takes a completed todo; None if none will."""
        if not self._takes_part or todo.completed_at is None or self.next_cleanup is None:
            return None
        kept = kept_until(
            completed_at=todo.completed_at,
            restored_at=todo.restored_at,
            keep_days=self._keep_days,
        )
        return self.next_cleanup if kept < self.next_cleanup else next_cleanup_after(kept)

    def words(self, todo: TodoFields) -> str:
        """Return when a completed todo leaves, in words such as "leaves tonight"."""
        if not self._takes_part:
            return _("stays: you switched cleaning off")
        cleanup = self.of(todo)
        if cleanup is None:
            return _("stays: the nightly cleanup is paused")
        days = self._days_until(cleanup)
        if days > 0:
            return ngettext("leaves in %(days)d day", "leaves in %(days)d days", days) % {
                "days": days
            }
        return _("leaves tonight") if is_at_night(cleanup) else _("leaves today")

    def _days_until(self, cleanup: datetime) -> int:
        """Return how many days from today a cleanup is, in the reader's time zone."""
        local, today = timezone.localtime(cleanup), timezone.localdate(self._now)
        return (local.date() - today).days - (local.hour < MORNING_HOUR)


def is_at_night(moment: datetime) -> bool:
    """Say whether a moment is at night, for someone in the current time zone."""
    return not MORNING_HOUR <= timezone.localtime(moment).hour < EVENING_HOUR
