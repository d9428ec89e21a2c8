"""Tells people, once, what the cleanup took while they were away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from accounts.services import UserService
from todos.models import TrashedTodo, TrashedTodoQuerySet
from todos.pages.trash_words import day_words, is_last_night, number

#: How far back the first notice of all looks, for somebody who has had none.
FIRST_NOTICE_DAYS = 7

#: The most sweeps of one notice, and of its Undo.
MOST_SWEEPS = 50


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What one run of the cleanup took from a person, as far as it is in the trash."""

    run_id: int
    todos: int
    at: datetime


@dataclass(frozen=True)
class SweepNotice:
    """What sweeps took, with a link to it and its Undo: for `todos/sweep_notice.html`.

    Attributes:
        sweeps: one or more, the last one first.
        now: the present, as the words mean it.
    """

    sweeps: Sequence[Sweep]
    now: datetime

    @property
    def url(self) -> str:
        """Where to see the todos."""
        trash = reverse("todos:trash")
        return f"{trash}?run={self.sweeps[0].run_id}" if len(self.sweeps) == 1 else trash

    @property
    def runs(self) -> list[str]:
        """What its Undo posts."""
        return [str(sweep.run_id) for sweep in self.sweeps]

    @property
    def undo(self) -> str:
        """What its Undo says."""
        if is_last_night(self.sweeps[-1].at, now=self.now):
            return _("Undo last night")
        return _("Undo")

    @property
    def text(self) -> str:
        """What was taken, and when."""
        todos = sum(sweep.todos for sweep in self.sweeps)
        first = self.sweeps[-1].at
        day = timezone.localdate(first)
        values = {"count": number(todos), "day": day_words(day)}
        if is_last_night(first, now=self.now):
            text = ngettext(
                "Last night Tidy took %(count)s completed todo.",
                "Last night Tidy took %(count)s completed todos.",
                todos,
            )
        elif day == timezone.localdate(self.now):
            text = ngettext(
                "Today Tidy took %(count)s completed todo.",
                "Today Tidy took %(count)s completed todos.",
                todos,
            )
        elif day == timezone.localdate(self.sweeps[0].at):
            text = ngettext(
                "On %(day)s Tidy took %(count)s completed todo.",
                "On %(day)s Tidy took %(count)s completed todos.",
                todos,
            )
        else:
            text = _("Since %(day)s Tidy took %(count)s completed todos.")
        return text % values


def show_sweeps(user: User, *, now: datetime) -> SweepNotice | None:
    """Return what the cleanup took that a person has not been shown; note that it is shown now.

    In two windows at once it may be shown twice, but never not at all. It costs a query, and one
    more if there is something to show.

    Args:
        user: who looks at their list.
        now: the present.
    """
    since = user.sweeps_seen_until or now - timedelta(days=FIRST_NOTICE_DAYS)
    unseen = TrashedTodo.objects.filter(user=user, trashed_at__gt=since)
    sweeps = sweeps_in(unseen)
    if not sweeps:
        return None
    UserService.set_sweeps_seen(user=user, until=sweeps[0].at)
    return SweepNotice(sweeps, now)


def sweeps_in(todos: TrashedTodoQuerySet) -> list[Sweep]:
    """Return what swept todos of somebody's trash, the last sweep first; MOST_SWEEPS at most."""
    runs = todos.swept().values("run_id").annotate(todos=Count("pk"), at=Max("trashed_at"))
    return [
        Sweep(run_id=run["run_id"], todos=run["todos"], at=run["at"])
        for run in runs.order_by("-at", "-run_id")[:MOST_SWEEPS]
        if run["run_id"] is not None
    ]
