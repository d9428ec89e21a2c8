"""Tells database errors of some rows from those that concern all rows."""

from collections.abc import Callable
from time import sleep

import structlog
from django.db import (
    DatabaseError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
)

logger = structlog.get_logger(__name__)

#: Errors that concern every row alike: the connection, the server, a lock or a time-out.
_OF_ALL_ROWS = (InterfaceError, InternalError, NotSupportedError, OperationalError)

#: PostgreSQL's and SQLite's names of the error that another row has the key.
_DUPLICATE = {"23505", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}

#: SQLSTATEs of a statement that waited too long for a lock, or took too long.
_TIMEOUTS = {"55P03", "57014"}

#: SQLSTATE of a statement that others waited for while it waited for them.
_DEADLOCK = "40P01"

#: How long to wait before a statement is done again: meanwhile, whoever the deadlock was with takes
#: the lock. Done again at once, the statement may take it first, and the deadlock begins anew.
PAUSE_SECONDS = 0.1


def is_timeout(error: DatabaseError) -> bool:
    """Return whether PostgreSQL stopped waiting, for a lock or for the statement."""
    return sqlstate(error) in _TIMEOUTS


def is_blocked(error: DatabaseError) -> bool:
    """Return whether somebody else's locks stood in the way: a time-out, or a deadlock."""
    return is_timeout(error) or sqlstate(error) == _DEADLOCK


def is_duplicate(error: DatabaseError) -> bool:
    """Return whether a row was refused because another has its key."""
    name = getattr(error.__cause__, "sqlite_errorname", None) or sqlstate(error)
    return name in _DUPLICATE


def sqlstate(error: DatabaseError) -> str:
    """Return the five characters that name the error in PostgreSQL; empty on SQLite."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def reason(error: DatabaseError) -> str:
    """Return the error's name, without its message, which may quote what a person wrote."""
    cause = type(error.__cause__ or error).__name__
    return f"{cause} ({state})" if (state := sqlstate(error)) else cause


def log_or_raise(error: DatabaseError, event: str, **values: int) -> None:
    """Log that locks stood in the way, or an error of a constraint or a trigger: some rows' fault.

    Any other error is raised. In SQLSTATE class 42 the statement is wrong, or not permitted.
    """
    of_all_rows = isinstance(error, _OF_ALL_ROWS) or sqlstate(error).startswith("42")
    if of_all_rows and not is_blocked(error):
        raise error
    logger.warning(event, reason=reason(error), **values)


def after_all_but_timeouts(error: DatabaseError) -> bool:
    """Say yes, unless somebody has waited long enough already."""
    return not is_timeout(error)


def after_deadlocks(error: DatabaseError) -> bool:
    """Say yes, if it is certain that nothing was done.

    When a connection is lost at the commit, nobody knows; done again, it would find nothing to do.
    """
    return sqlstate(error) == _DEADLOCK


def twice[R](
    do: Callable[[], R], *, again: Callable[[DatabaseError], bool] = after_all_but_timeouts
) -> R:
    """Do something, and after a pause once more if the database fails.

    By then, a deadlock is over, and a lost connection may be.

    Args:
        do: what to do; it has to be right to do it again after what `again` accepts.
        again: whether an error is one after which it is done again.

    Raises:
        DatabaseError: the second time as well, or one that `again` does not accept.
    """
    try:
        return do()
    except DatabaseError as error:
        if not again(error):
            raise
        logger.warning("statement retried", reason=reason(error))
    sleep(PAUSE_SECONDS)
    return do()
