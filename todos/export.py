"""Everything that is kept of a person, as JSON; and their todos as CSV, for a spreadsheet.

Both are written piece by piece, so that the memory they take does not grow with the list. All todos
come from one statement: it sees those on the list and those in the trash at the same moment, so
that none is missing or there twice while a sweep or a restore moves it. The JSON is complete if it
is closed.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import date
from io import StringIO
from itertools import batched, groupby
from typing import Any

from django.db.models import DateTimeField, ExpressionWrapper, Q, Value
from django.db.models.fields import BooleanField
from django.utils import timezone

from accounts.export import account_of, preferences_of, sessions_of, tokens_of
from accounts.models import User
from todos.models import Receipt, Todo, TrashedTodo

#: Todos that are in memory at once.
CHUNK_TODOS = 500

#: The version of the format, which changes with the meaning of a key.
FORMAT_VERSION = 1

#: So that a spreadsheet takes the file for UTF-8.
BYTE_ORDER_MARK = "\ufeff"

#: A spreadsheet may take a cell that begins with one of these for a formula, and compute it.
FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n")


def json_of(user: User) -> Iterator[str]:
    """Write everything that is kept of a person as one JSON object."""
    about = {
        "format": "tidy",
        "version": FORMAT_VERSION,
        "exported_at": timezone.now(),
        "account": account_of(user),
        "preferences": preferences_of(user),
        "sessions": sessions_of(user),
        "tokens": tokens_of(user),
        "receipts": receipts_of(user),
    }
    yield _json(about, indent=1).removesuffix("\n}")
    both = groupby(_todos_of(user), key=lambda todo: todo.pop("in_trash"))
    in_trash, todos = next(both, (None, iter(())))
    yield ',\n "todos": ['
    if in_trash is False:
        yield from _json_rows(todos)
        in_trash, todos = next(both, (None, iter(())))
    yield '],\n "trash": ['
    if in_trash:
        yield from _json_rows(todos)
    yield "]\n}\n"


def csv_of(user: User) -> Iterator[str]:
    """Write a person's todos as CSV, those in the trash after those on the list."""
    yield BYTE_ORDER_MARK + _csv_lines([["in_trash", *_names(), "trashed_at", "swept"]])
    for todos in batched(_todos_of(user), CHUNK_TODOS):
        yield _csv_lines([_cell(value) for value in todo.values()] for todo in todos)


def receipts_of(user: User) -> list[dict[str, Any]]:
    """Return which nights a person was told of by mail, or is to be."""
    receipts = Receipt.objects.filter(user=user).order_by("pk")
    columns = ("night", "since", "until", "todos", "state", "sent_at")
    return [dict(row) for row in receipts.values(*columns)]


def _names() -> list[str]:
    """Return the names of what is kept of each todo."""
    return [field.name for field in Todo.stored_fields() if field.name != "user"]


def _todos_of(user: User) -> Iterator[dict[str, Any]]:
    """Yield a person's todos, those in the trash last, all as they were at one moment."""
    columns = ("in_trash", *_names(), "trashed_at", "swept")
    on_list = Todo.objects.filter(user=user).annotate(
        in_trash=Value(False),  # noqa: FBT003  (an SQL value has no name)
        trashed_at=Value(None, DateTimeField()),
        swept=Value(False),  # noqa: FBT003
    )
    in_trash = TrashedTodo.objects.filter(user=user).annotate(
        in_trash=Value(True),  # noqa: FBT003
        swept=ExpressionWrapper(Q(run_id__isnull=False), output_field=BooleanField()),
    )
    both = on_list.values_list(*columns).union(in_trash.values_list(*columns), all=True)
    rows = both.order_by("in_trash", "id").iterator(chunk_size=CHUNK_TODOS)
    return (dict(zip(columns, row, strict=True)) for row in rows)


def _json(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=_text)


def _json_rows(todos: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Write todos a line each, with the commas between them."""
    begin = "\n  "
    for chunk in batched(todos, CHUNK_TODOS):
        yield begin + ",\n  ".join(map(_json, chunk))
        begin = ",\n  "


def _csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    lines = StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue()


def _cell(value: Any) -> str:
    """Return what a spreadsheet shows as it is, and computes nothing of."""
    text = "" if value is None else _text(value)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_BEGINS) else text


def _text(value: Any) -> str:
    """Return a value as text; a moment or day as ISO 8601 has it."""
    return value.isoformat() if isinstance(value, date) else str(value)
