"""Pages of lists: each begins after the todo with which the one before has ended.

Todos are in the order of their ids, which never change: whatever is added, edited, completed, swept
or restored meanwhile, no page repeats or skips a todo that is there all the time.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from django.db.models import F, OrderBy, QuerySet

from accounts.api.errors import Refusal, Refused
from todos.api.schemas import Cursor
from todos.bounds import MAX_ID

#: The newest first, when no index has all of a person's rows in this order: PostgreSQL would walk
#: the primary key, past all that others have added since, if it were not for the sum.
SORTED = (F("pk") + 0).desc()


def page_of[T: QuerySet[Any]](
    todos: T, given: Cursor, *, order: str | OrderBy = "-pk"
) -> tuple[list[Any], str | None]:
    """Return the todos of a page, and the cursor of the next one; None if this is the last.

    Args:
        todos: all that the pages hold.
        given: which page.
        order: the newest first, as suits the database.
    """
    if given.cursor is not None:
        todos = todos.filter(pk__lt=read(given.cursor))
    found = list(todos.order_by(order)[: given.limit + 1])
    page = found[: given.limit]
    return page, write(page[-1].pk) if len(found) > given.limit else None


def write(pk: int) -> str:
    """Return the cursor of what comes after a todo."""
    return urlsafe_b64encode(b"%d" % pk).decode().rstrip("=")


def read(cursor: str) -> int:
    """Return the id of the todo that a cursor names.

    Raises:
        Refused: it names none.
    """
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        text = b""
    if not (text.isdigit() and int(text) <= MAX_ID and write(int(text)) == cursor):
        raise Refused(Refusal.BAD_CURSOR, "cursor")
    return int(text)
