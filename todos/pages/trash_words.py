"""How the pages of the trash say what was done, and when something happens."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from todos.bulk.trash import ID_IN_USE, RestoreReport
from todos.day_words import day_words
from todos.leaving import Leaving
from todos.models import Todo, TrashedTodo

#: Characters of a title within a sentence. A notice has to fit into a cookie.
MOST_QUOTED = 60

#: Characters that turn the direction of what follows, and could end what isolates a title.
DIRECTIONS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


def quoted(title: str) -> str:
    """Return a title as part of a sentence, which it cannot turn around."""
    title = title.translate(DIRECTIONS)
    short = title if len(title) <= MOST_QUOTED else title[: MOST_QUOTED - 1] + "…"
    return _("“%(title)s”") % {"title": f"\u2068{short}\u2069"}


def days_left(todo: TrashedTodo, *, now: datetime) -> str:
    """Return when the purge may delete a trashed todo, in words that promise no more than it keeps.

    The days are whole ones, of 24 hours and of the reader's calendar: the purge may come at once
    when they are over, and at the beginning of the day that they lead to it has not come yet.
    """
    end = todo.trashed_at + timedelta(days=max(settings.TODO_TRASH_DAYS, todo.trash_days))
    if end <= now:
        return _("leaves for good any night now")
    days = min((end - now).days, (timezone.localdate(end) - timezone.localdate(now)).days)
    if days == 0:
        return _("may leave for good within a day")
    return ngettext("leaves for good in %(days)d day", "leaves for good in %(days)d days", days) % {
        "days": days
    }


def completed_words(todo: Todo, leaving: Leaving) -> str:
    """Return that a todo was completed, and when it leaves; without a trash, that it is for good.

    Args:
        todo: completed just now.
        leaving: of its owner.
    """
    if settings.TODO_TRASH_DAYS or leaving.of(todo) is None:
        text = _("Completed %(title)s. It %(leaves)s.")
    else:
        text = _("Completed %(title)s. It %(leaves)s, for good.")
    return text % {"title": quoted(todo.title), "leaves": leaving.words(todo)}


def stays_until(user: User) -> date | None:
    """Return the day through which a completed todo stays that was restored just now.

    None: no cleanup will take it, as things are.
    """
    now = timezone.now()
    cleanup = Leaving(user, now=now).of(Todo(user=user, completed_at=now, restored_at=now))
    if cleanup is None:
        return None
    return timezone.localtime(cleanup).date() - timedelta(days=1)


def brought_back(user: User, report: RestoreReport, todos: Sequence[Todo] = ()) -> str:
    """Return what was restored, and until when it stays.

    Args:
        user: whose.
        report: of the restore.
        todos: those that were restored, if they are few; otherwise they are completed ones.
    """
    count = report["todos_restored"]
    if not count:
        return left_behind(report)
    until = stays_until(user)
    values = {"count": number(count), "title": quoted(todos[0].title) if todos else ""}
    if todos and not any(todo.completed_at for todo in todos):
        text = ngettext(
            "%(title)s is on your list again.", "%(count)s todos are on your list again.", count
        )
    elif until is None:
        text = ngettext(
            "Brought back %(count)s todo. It stays on your list.",
            "Brought back %(count)s todos. They stay on your list.",
            count,
        )
    else:
        values["day"] = day_words(until)
        text = ngettext(
            "Brought back %(count)s todo. It stays at least until %(day)s.",
            "Brought back %(count)s todos. They stay at least until %(day)s.",
            count,
        )
    return f"{text % values} {left_behind(report)}".rstrip()


def left_behind(report: RestoreReport) -> str:
    """Return what could not be restored, and why; nothing if all was."""
    left = report["todos_left"]
    if not left:
        return ""
    if any(error["reason"] == ID_IN_USE for error in report["errors"]):
        return ngettext(
            "%(count)s todo could not be brought back: another one has its number.",
            "%(count)s todos could not be brought back: others have their numbers.",
            left,
        ) % {"count": number(left)}
    return ngettext(
        "%(count)s todo could not be brought back.",
        "%(count)s todos could not be brought back.",
        left,
    ) % {"count": number(left)}


def number(count: int) -> str:
    """Return a count such as 10,000, as the reader's language writes it."""
    return number_format(count, force_grouping=True)
