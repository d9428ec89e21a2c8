"""What the admin's pages share: who asks, what they may do, and the log of what they did."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.models import User

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

#: Rows of a selection that the admin's log names one by one. Of more, it says how many there are.
MOST_LOGGED = 1_000


class StaffRequest(HttpRequest):
    """A request to the admin: somebody has logged in."""

    user: User


def as_selection(model: type[Any], objs: QuerySet[Any] | list[Any]) -> Any:
    """Return rows that were selected as a queryset without the joins of a search.

    Else the conditions of an UPDATE would hold for the rows as they were found, not as they are
    once a concurrent change is through.
    """
    pks = objs.order_by().values("pk") if isinstance(objs, QuerySet) else [row.pk for row in objs]
    return model._meta.default_manager.filter(pk__in=pks)


@contextmanager
def held(rows: QuerySet[Any]) -> Iterator[tuple[list[Any], Any]]:
    """Hold a selection while something is done to it, so that the log says what was done.

    A selection of more than MOST_LOGGED is not held; the log says of it how many there were.

    Args:
        rows: without joins.

    Yields:
        The rows, of many the first MOST_LOGGED + 1, and the queryset to do it to. Nobody else
        changes a row that is held, until the block ends.
    """
    rows = rows.order_by("pk")
    if len(rows.values_list("pk")[: MOST_LOGGED + 1]) > MOST_LOGGED:
        yield list(rows[: MOST_LOGGED + 1]), rows
        return
    with transaction.atomic():
        found = list(rows.select_for_update())
        yield found, as_selection(rows.model, found)


def may(request: HttpRequest, verb: str, model: type[Model]) -> bool:
    """Say whether who asks may do something with rows of a model, such as `view` them."""
    opts = model._meta
    return request.user.has_perm(f"{opts.app_label}.{verb}_{opts.model_name}")


def by_id(row: Model) -> str:
    """Name a row by kind and number, as the log does where its own text is what people wrote."""
    return f"{row._meta.verbose_name} {row.pk}"


def log(
    user: User,
    rows: Sequence[Model],
    changed: int,
    action: int,
    message: str,
    *,
    name: Callable[[Model], str] = str,
) -> None:
    """Write to the admin's log what was done to a selection: a line each, or one for very many.

    Where nothing was changed, it says nothing; where it is not known what was, how many.

    Args:
        user: who did it.
        rows: what was changed, or the first MOST_LOGGED + 1 of what was to be.
        changed: how many were.
        action: what was done, as the admin's log numbers it.
        message: what was done, in words.
        name: says what an entry calls a row; `by_id` where the row's text is what people wrote.
    """
    if not rows or not changed:
        return
    if len(rows) == changed <= MOST_LOGGED:
        write(user, rows, action, message, name=name)
        return
    model = type(rows[0])
    LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(model),
        object_repr=f"{changed:,} {model._meta.verbose_name_plural}",
        action_flag=action,
        change_message=message,
    )


def write(
    user: User,
    rows: Iterable[Model],
    action: int,
    message: str | list[Any],
    *,
    name: Callable[[Model], str],
) -> list[LogEntry]:
    """Write a line for each row to the admin's log, and return them.

    Args:
        user: who did it.
        rows: what it was done to.
        action: what was done, as the admin's log numbers it.
        message: what was done, in words, or as the admin puts together what a form has changed.
        name: says what an entry calls a row.
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


class LoggedById(ModelAdmin):
    """A model's admin whose log entries hold nothing that people wrote, nor what they are called.

    The log outlives what it is about.
    """

    def log_addition(self, request: Any, obj: Model, message: Any) -> LogEntry:
        """Log that a row was added."""
        return write(request.user, [obj], ADDITION, message, name=by_id)[0]

    def log_change(self, request: Any, obj: Model, message: Any) -> LogEntry:
        """Log what was changed about a row."""
        return write(request.user, [obj], CHANGE, message, name=by_id)[0]

    def log_deletions(self, request: Any, queryset: Iterable[Model]) -> list[LogEntry]:
        """Log that rows will be deleted."""
        return write(request.user, queryset, DELETION, "", name=by_id)
