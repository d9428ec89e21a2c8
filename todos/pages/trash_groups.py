"""Groups what is in a person's trash by how it left the list."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Case, Count, DateTimeField, Q, When
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from todos.day_words import day_words, is_last_night
from todos.models import TrashedTodo, TrashedTodoQuerySet
from todos.pages.trash_words import days_left, number

type Sizes = dict[tuple[int | None, datetime | None], int]
"""How many todos a run swept, by its id, or a person cleared at once, by the moment."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A todo, and in words how long it stays."""

    todo: TrashedTodo
    left: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Todos that left the list in the same way.

    Attributes:
        heading: how and when.
        size: how many there are on all pages; 0 for what was deleted one by one.
        run_id: the run that swept them, or else None.
        cleared_at: the moment at which the person cleared them, or else None.
        rows: those on this page.
    """

    heading: str
    size: int = 0
    run_id: int | None = None
    cleared_at: datetime | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def restore_label(self) -> str:
        """What the button says that restores the whole group."""
        if self.size == 1:
            return _("Bring it back")
        return ngettext("Bring %(count)s back", "Bring all %(count)s back", self.size) % {
            "count": number(self.size)
        }


def groups_of(
    user: User, todos: TrashedTodoQuerySet, shown: Sequence[TrashedTodo], *, now: datetime
) -> list[Group]:
    """Return the todos of a page in groups, the newest first; it costs a query.

    Args:
        user: whose.
        todos: all that the pages show.
        shown: those of this page, the newest first.
        now: the present.
    """
    sizes = sizes_of(user, todos, shown)
    groups: dict[object, Group] = {}
    for todo in shown:
        key, group = group_of(user, todo, sizes, now=now)
        row = Row(todo=todo, left=days_left(todo, now=now))
        groups.setdefault(key, group).rows.append(row)
    return list(groups.values())


def sizes_of(user: User, todos: TrashedTodoQuerySet, shown: Sequence[TrashedTodo]) -> Sizes:
    """Return the sizes of the groups that are shown, with what of them is on other pages."""
    swept = Q(run_id__in={todo.run_id for todo in shown if todo.run_id is not None})
    moments = {todo.trashed_at for todo in shown if todo.run_id is None}
    cleared = Q(run_id__isnull=True, trashed_by=user, trashed_at__in=moments)
    at = Case(When(run_id__isnull=True, then="trashed_at"), output_field=DateTimeField())
    groups = todos.filter(swept | cleared).values_list("run_id", at)
    return {(run_id, at): size for run_id, at, size in groups.annotate(size=Count("pk"))}


def group_of(user: User, todo: TrashedTodo, sizes: Sizes, *, now: datetime) -> tuple[object, Group]:
    """Return what tells the group of a todo from others, and the group, still empty."""
    at, run_id, own = todo.trashed_at, todo.run_id, todo.trashed_by_id == user.pk
    if run_id is not None:
        return run_id, Group(
            heading=swept_words(at, now=now),
            size=sizes.get((run_id, None), 1),
            run_id=run_id,
        )
    size = sizes.get((None, at), 1)
    if own and size > 1:
        return at, Group(heading=cleared_words(at, now=now), size=size, cleared_at=at)
    return (own, timezone.localdate(at)), Group(heading=deleted_words(at, own=own, now=now))


def swept_words(at: datetime, *, now: datetime) -> str:
    day = timezone.localdate(at)
    if is_last_night(at, now=now):
        words = _("Swept last night, %(day)s")
    elif day == timezone.localdate(now):
        words = _("Swept today, %(day)s")
    else:
        words = _("Swept on %(day)s")
    return words % {"day": day_words(day)}


def cleared_words(at: datetime, *, now: datetime) -> str:
    day = timezone.localdate(at)
    today = day == timezone.localdate(now)
    words = _("You cleared these today, %(day)s") if today else _("You cleared these on %(day)s")
    return words % {"day": day_words(day)}


def deleted_words(at: datetime, *, own: bool, now: datetime) -> str:
    day = timezone.localdate(at)
    today = day == timezone.localdate(now)
    if own:
        words = _("You deleted today, %(day)s") if today else _("You deleted on %(day)s")
    else:
        words = _("Deleted for you today, %(day)s") if today else _("Deleted for you on %(day)s")
    return words % {"day": day_words(day)}
