"""Does a bulk operation in one statement, where it is small enough for somebody to wait for."""

from typing import Any

from django.db import DatabaseError, transaction

from todos.bulk.errors import after_deadlocks, is_timeout, log_or_raise, twice
from todos.bulk.keys import ID
from todos.bulk.operation import IdOperation
from todos.bulk.sql import Rows

#: The most todos of one statement. It takes a few tenths of a second, and nobody else waits for
#: rows of one person's trash; on SQLite all other writers do.
MOST_AT_ONCE = 20_000


def act_at_once(operation: IdOperation[Any], *, number: int | None = None) -> int | None:
    """Act on all that an operation selects, in one statement; return how many there were.

    None: they are more than MOST_AT_ONCE, the database refuses one of them, or it was in two
    deadlocks. Nothing has been done then, and `run` does it, batch by batch, without those rows.

    Args:
        operation: what to do.
        number: how many todos it selects at most, if that is known; otherwise they are counted.

    Raises:
        DatabaseError: the database failed, and not because of single rows; also after a time-out.
    """
    todos = operation.eligible()
    if number is None:
        number = todos[: MOST_AT_ONCE + 1].count()
    if number > MOST_AT_ONCE:
        return None

    def whole() -> int:
        with transaction.atomic():
            return operation.act(Rows.of(todos, key=ID))

    try:
        return twice(whole, again=after_deadlocks)
    except DatabaseError as error:
        if is_timeout(error):
            raise
        log_or_raise(error, "not done at once")
    return None
