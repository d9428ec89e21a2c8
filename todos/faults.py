"""Tells a fault that lies in some rows from one that concerns the whole database."""

from django.db import (
    DatabaseError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
)

#: What is wrong for every row alike: the connection, the server, a lock or a time-out.
_EVERYBODYS = (InterfaceError, InternalError, NotSupportedError, OperationalError)

#: SQLSTATE class 42: the statement itself is wrong, or we may not run it.
_STATEMENT = "42"

#: What PostgreSQL and SQLite call it that another row has the number.
_TAKEN = {"23505", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}

LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"


def fault_of_rows(error: DatabaseError) -> bool:
    """Say whether leaving out some rows could help: a constraint or a trigger refused them."""
    return not isinstance(error, _EVERYBODYS) and not sqlstate(error).startswith(_STATEMENT)


def timed_out(error: DatabaseError) -> bool:
    """Say whether PostgreSQL gave up waiting: for somebody else's lock, or for the statement."""
    return sqlstate(error) in {LOCK_NOT_AVAILABLE, QUERY_CANCELED}


def is_taken(error: DatabaseError) -> bool:
    """Say whether a row was refused as there is another with its key."""
    name = getattr(error.__cause__, "sqlite_errorname", None) or sqlstate(error)
    return name in _TAKEN


def sqlstate(error: DatabaseError) -> str:
    """Return the five characters that name the error in PostgreSQL; empty on SQLite."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def reason(error: DatabaseError) -> str:
    """Name the error, without its message: that may quote the row, a person's own text."""
    cause = type(error.__cause__ or error).__name__
    return f"{cause} ({state})" if (state := sqlstate(error)) else cause
