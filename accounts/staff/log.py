"""The admin's log of what staff did."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from accounts.models import User
from accounts.staff import selection


def by_id(row: Model) -> str:
    """Return a row's kind and id: its name in the log, if people wrote its own text."""
    return f"{row._meta.verbose_name} {row.pk}"


def log_selection(
    user: User,
    rows: Sequence[Model],
    changed: int,
    action: int,
    message: str,
    *,
    name: Callable[[Model], str] = str,
) -> None:
    """Log what a user did to a selection.

    There is an entry for each row; or one entry with their number, if there are too many or some
    of them were not changed. If none was changed, there is no entry.

    Args:
        rows: the selection, or its first MAX_LOGGED_ROWS + 1 rows.
        changed: how many rows were changed.
        action: a flag of `LogEntry`, such as CHANGE.
        name: returns a row's name in its entry.
    """
    if not rows or not changed:
        return
    if len(rows) == changed <= selection.MAX_LOGGED_ROWS:
        log_rows(user, rows, action, message, name=name)
        return
    model = type(rows[0])
    LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(model),
        object_repr=selection.counted(model, changed),
        action_flag=action,
        change_message=message,
    )


def log_rows(
    user: User,
    rows: Iterable[Model],
    action: int,
    message: str | list[Any],
    *,
    name: Callable[[Model], str],
) -> list[LogEntry]:
    """Log what a user did to rows, as `log_selection`; return an entry for each.

    The message is text, or what the admin makes of the changes in a form.
    """
    return LogEntry.objects.bulk_create(
        LogEntry(
            user=user,
            content_type=ContentType.objects.get_for_model(row),
            object_id=row.pk,
            object_repr=name(row)[:200],
            action_flag=action,
            change_message=message if isinstance(message, str) else json.dumps(message),
        )
        for row in rows
    )


class LoggedById(admin.ModelAdmin):  # type: ignore[type-arg]  # Not generic at run time.
    """A model's admin that logs rows by kind and id.

    The log outlives the rows, so it must not hold people's names, nor what they wrote.
    """

    def log_addition(self, request: Any, obj: Model, message: Any) -> LogEntry:
        return log_rows(request.user, [obj], ADDITION, message, name=by_id)[0]

    def log_change(self, request: Any, obj: Model, message: Any) -> LogEntry:
        return log_rows(request.user, [obj], CHANGE, message, name=by_id)[0]

    def log_deletions(self, request: Any, queryset: Iterable[Model]) -> list[LogEntry]:
        return log_rows(request.user, queryset, DELETION, "", name=by_id)
