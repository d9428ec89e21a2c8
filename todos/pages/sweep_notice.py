"""Tells people, once, what the cleanup took while they were away."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from accounts.services import UserService
from todos.day_words import day_words, is_last_night
from todos.models import TrashedTodo, TrashedTodoQuerySet
from todos.pages.trash_words import number

#: How far back the first notice of all looks, for somebody who has had none.
FIRST_NOTICE_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class SweepNotice:
    """What sweeps took, with a link to it and its Undo: for `todos/sweep_notice.html`.

    Attributes:
        todos: how many.
        since: they were swept later than this.
        first: when the first of them was.
        last: when the last of them was.
        run_id: the cleanup that took all of them; None if there were several.
        now: the present, as the words mean it.
    """

    todos: int
    since: datetime
    first: datetime
    last: datetime
    run_id: int | None
    now: datetime

    @property
    def url(self) -> str:
        """Where to see the todos."""
        trash = reverse("todos:trash")
        return trash if self.run_id is None else f"{trash}?run={self.run_id}"

    @property
    def undo(self) -> str:
        """What its Undo says."""
        if self._is_of_last_night(self.last):
            return _("Undo last night")
        if self.todos == 1:
            return _("Undo")
        return _("Undo all %(count)s") % {"count": number(self.todos)}

    @property
    def text(self) -> str:
        """What was taken, and when."""
        day, last_day = timezone.localdate(self.first), timezone.localdate(self.last)
        values = {"count": number(self.todos), "day": day_words(day)}
        if self._is_of_last_night(self.last):
            text = ngettext(
                "Last night Tidy took %(count)s completed todo.",
                "Last night Tidy took %(count)s completed todos.",
                self.todos,
            )
        elif self._is_of_last_night(self.first):
            text = _("Since last night Tidy took %(count)s completed todos.")
        elif day != last_day:
            text = _("Since %(day)s Tidy took %(count)s completed todos.")
        elif day == timezone.localdate(self.now):
            text = ngettext(
                "Today Tidy took %(count)s completed todo.",
                "Today Tidy took %(count)s completed todos.",
                self.todos,
            )
        else:
            text = ngettext(
                "On %(day)s Tidy took %(count)s completed todo.",
                "On %(day)s Tidy took %(count)s completed todos.",
                self.todos,
            )
        return text % values

    def _is_of_last_night(self, moment: datetime) -> bool:
        return is_last_night(moment, now=self.now) and is_last_night(self.first, now=self.now)


def show_sweeps(user: User, *, now: datetime) -> SweepNotice | None:
    """Return what the cleanup took that a person has not been shown; note that it is shown now.

    In two windows at once it may be shown twice, but never not at all. It costs a query, and one
    more if there is something to show, or on the first visit of all.

    Args:
        user: who looks at their list.
        now: the present.
    """
    since = user.sweeps_seen_until or now - timedelta(days=FIRST_NOTICE_DAYS)
    notice = notice_of(TrashedTodo.objects.filter(user=user), since=since, now=now)
    if notice:
        UserService.set_sweeps_seen(user=user, until=notice.last)
    elif user.sweeps_seen_until is None:
        # From now on nothing is too old to be told of. Not the present, as a sweep may be at work.
        UserService.set_sweeps_seen(user=user, until=since)
    return notice


def notice_of(trash: TrashedTodoQuerySet, *, since: datetime, now: datetime) -> SweepNotice | None:
    """Return what was swept of somebody's trash later than a moment; None if it was nothing."""
    found = (
        trash.swept()
        .filter(trashed_at__gt=since)
        .aggregate(
            todos=Count("pk"),
            first=Min("trashed_at"),
            last=Max("trashed_at"),
            first_run=Min("run_id"),
            last_run=Max("run_id"),
        )
    )
    if not found["todos"]:
        return None
    run, last_run = found.pop("first_run"), found.pop("last_run")
    return SweepNotice(**found, since=since, run_id=run if run == last_run else None, now=now)
