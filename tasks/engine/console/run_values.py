"""The values of a run as its page shows them: result, arguments, and the fields of its row.

All of them may quote what people wrote: who may not see details sees that there is something.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import JSONField
from django.utils.text import capfirst

from tasks.engine.extension import extension_of
from tasks.engine.models import TaskRun
from tasks.engine.operations.permissions import WITHHELD
from tasks.engine.words import count

#: Characters of one value, of one field of the row, and lines of a table or list.
MAX_VALUE_CHARACTERS = 500
MAX_FIELD_CHARACTERS = 20_000
MAX_ROWS = 100

#: Fields that may quote what people wrote, and what they hold when there is nothing to withhold.
DETAILS: Mapping[str, tuple[object, ...]] = {
    "error": ("",),
    "arguments": ({}, {"args": [], "kwargs": {}}, {"kwargs": {}}),
    "result": (None,),
    "progress": ({},),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table: its title, and a moment or a text, perhaps with the names of runs."""

    title: str
    text: str = ""
    moment: datetime | None = None
    help_text: str = ""
    names_runs: bool = False


def result_rows(run: TaskRun, *, with_details: bool) -> list[Row]:
    """Return a run's result: at first what its extension counts, which everybody sees."""
    if run.result is None:
        return []
    if not isinstance(run.result, Mapping):
        return [Row(title="Result", text=shown(run.result) if with_details else WITHHELD)]
    counts = extension_of(run.task).counts
    rows = []
    for key, nouns in counts.items():
        number = run.result.get(key)
        if type(number) is int:
            title = nouns[0] if number == 1 else nouns[1]
            rows.append(Row(title=capfirst(title), text=f"{number:,}"))
    counted = {key for key in counts if type(run.result.get(key)) is int}
    others = [key for key in run.result if key not in counted and key != "errors"]
    if with_details:
        # Not with commas: a number that nobody counts may be the name of something.
        found = (row for key in others for row in _result_rows(key, run.result[key]))
        rows += islice(found, MAX_ROWS)
    elif others or run.has_errors:
        rows.append(Row(title="The rest", text=WITHHELD))
    return rows


def _result_rows(key: str, value: object) -> Iterator[Row]:
    """Yield a value of a result; of a list of reasons, such as a bulk operation's, each."""
    if key != "reasons" or not isinstance(value, list):
        yield Row(title=words_of(key), text=shown(value))
        return
    for each in value:
        yield Row(title="Left as they were", text=reason_in_words(each), names_runs=True)


def reason_in_words(reason: object) -> str:
    """Return why an operation left runs as they were: `It was retried before: run 7, run 9.`"""
    match reason:
        case {"reason": str(text), "count": int(number), "runs": [*runs]}:
            named = ", ".join(f"run {run}" for run in runs)
            more = f" and {number - len(runs):,} more" if number > len(runs) else ""
            return cut(f"{text.rstrip('.')}: {named}{more}.", MAX_VALUE_CHARACTERS)
    return shown(reason)


def result_errors(run: TaskRun, *, with_details: bool) -> list[str]:
    """Return the errors that a run's result names, a line each; none to who may not see details."""
    errors = run.result.get("errors") if isinstance(run.result, Mapping) else None
    if not errors or not with_details:
        return []
    if not isinstance(errors, list):
        return [shown(errors)]
    lines = [in_words(error) for error in errors[:MAX_ROWS]]
    if len(errors) > MAX_ROWS:
        lines.append(f"And {count(len(errors) - MAX_ROWS, 'more', 'more')}.")
    return lines


def argument_rows(run: TaskRun, *, with_details: bool) -> list[Row]:
    """Return the arguments that a run was asked for with."""
    if run.arguments in DETAILS["arguments"]:
        return []
    if not with_details:
        return [Row(title="Arguments", text=WITHHELD)]
    found = list(_arguments(run.arguments))
    return found[:MAX_ROWS]


def _arguments(arguments: Any) -> Iterator[Row]:
    if not isinstance(arguments, Mapping):
        yield Row(title="Arguments", text=shown(arguments))
        return
    args, kwargs = arguments.get("args") or [], arguments.get("kwargs") or {}
    for number, value in enumerate(args, start=1):
        yield Row(title=f"Argument {number}", text=shown(value))
    for name, value in kwargs.items():
        yield Row(title=cut(name, MAX_VALUE_CHARACTERS), text=shown(value))


def raw_fields(run: TaskRun, *, with_details: bool) -> list[Row]:
    """Return all fields of a run's row."""
    return [_field(run, field, with_details=with_details) for field in run._meta.concrete_fields]


def _field(run: TaskRun, field: Any, *, with_details: bool) -> Row:
    title, help_text = capfirst(field.verbose_name), field.help_text
    value = getattr(run, field.name)
    if isinstance(value, datetime):
        return Row(title=title, moment=value, help_text=help_text)
    if field.name in DETAILS and not with_details:
        text = "" if value in DETAILS[field.name] else WITHHELD
    elif isinstance(field, JSONField):
        text = "" if value is None else as_json(value)
    elif field.choices:
        text = getattr(run, f"get_{field.name}_display")()
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = "" if value is None else str(value)
    return Row(title=title, text=cut(text, MAX_FIELD_CHARACTERS), help_text=help_text)


def in_words(error: Any) -> str:
    """Return an error of a result in a line: `user id: 7, reason: ...`."""
    if isinstance(error, Mapping):
        parts = (f"{words_of(key)}: {shown(value)}" for key, value in error.items())
        return cut(", ".join(parts), MAX_VALUE_CHARACTERS)
    return shown(error)


def words_of(key: object) -> str:
    """Return a key as words: `user_id` as `user id`."""
    return cut(str(key).replace("_", " "), MAX_VALUE_CHARACTERS)


def shown(value: object) -> str:
    """Return a value of a result or an argument: a text as it is, all else as JSON."""
    return cut(value if isinstance(value, str) else as_json(value), MAX_VALUE_CHARACTERS)


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def cut(text: str, characters: int) -> str:
    """Return a text of at most some characters, and how many were cut off.

    Half a character, which JSON can hold and no page, is escaped.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= characters:
        return text
    return f"{text[:characters]} … and {len(text) - characters:,} more characters"
