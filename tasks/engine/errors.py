"""Errors as they are recorded: in full, except for what a database's message may quote."""

import sqlite3
import traceback
from collections.abc import Iterator

import psycopg
from django import db

from tasks.engine.words import one_line

#: What a database raises, through Django or its driver; and of that, what is not about rows.
OF_THE_DATABASE = (db.Error, psycopg.Error, sqlite3.Error)
OF_THE_SERVER = tuple(
    kind
    for module in (db, psycopg, sqlite3)
    for kind in (module.OperationalError, module.InterfaceError)
)


def format_error(error: BaseException) -> str:
    """Return an error with its traceback, after the errors that it follows from.

    The message of a database's error is left out: it may quote a row, and people's text must not
    outlast their account. Its type and its SQLSTATE say what was wrong.
    """
    parts: list[str] = []
    for link in reversed(list(chain(error))):
        parts += ["Traceback (most recent call last):\n", *traceback.format_tb(link.__traceback__)]
        parts.append(f"{error_line(link)}\n\n")
    return "".join(parts)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it follows from, the latest first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def error_line(error: BaseException) -> str:
    """Return an error in as many lines as its message has."""
    if isinstance(error, OF_THE_DATABASE) and not isinstance(error, OF_THE_SERVER):
        return f"{error_name(error)}, whose message is not kept"
    if isinstance(error, OF_THE_DATABASE):  # In one line: theirs ends with a mere caret.
        return f"{type(error).__name__}: {one_line(str(error))}"
    return "".join(traceback.format_exception_only(error)).rstrip("\n")


def error_name(error: BaseException) -> str:
    """Return the type of an error, or of its cause, and the SQLSTATE; not its message."""
    cause = error.__cause__ or error
    state = getattr(cause, "sqlstate", None)
    return f"{type(cause).__name__} ({state})" if state else type(cause).__name__
