"""The rows that staff select in a list, as querysets that are safe to write to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from django.contrib.admin.utils import model_ngettext
from django.db import transaction
from django.db.models import Model, QuerySet

#: The largest selection whose rows are locked, and each named in the admin's log.
MAX_LOGGED_ROWS = 1_000


def as_selection[Q: QuerySet[Any]](table: Q, chosen: QuerySet[Any] | Sequence[Model]) -> Q:
    """Return the chosen rows of a table as a queryset without the joins of a search.

    With joins, the conditions of an UPDATE would be checked against the rows as they were found,
    not as they are after a concurrent change.
    """
    if isinstance(chosen, QuerySet):
        return table.filter(pk__in=chosen.order_by().values("pk"))
    return table.filter(pk__in=[row.pk for row in chosen])


@contextmanager
def held[Q: QuerySet[Any]](rows: Q) -> Iterator[tuple[list[Any], Q]]:
    """Lock a selection without joins, so that the log names exactly the rows that are changed.

    A selection of more than MAX_LOGGED_ROWS is not locked.

    Yields:
        The rows, or the first MAX_LOGGED_ROWS + 1 of a larger selection; and the queryset to
        change. Nobody else changes a locked row until the block ends.
    """
    rows = rows.order_by("pk")
    if len(rows.values_list("pk")[: MAX_LOGGED_ROWS + 1]) > MAX_LOGGED_ROWS:
        yield list(rows[: MAX_LOGGED_ROWS + 1]), rows
        return
    with transaction.atomic():
        found = list(rows.select_for_update())
        yield found, as_selection(cast("Q", rows.model._meta.default_manager.all()), found)


def counted(model: type[Model], count: int) -> str:
    """Return a number of rows in words, such as `1 todo` or `2,000 todos`."""
    return f"{count:,} {model_ngettext(model._meta, count)}"
