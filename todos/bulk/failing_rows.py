"""Finds the few todos that make a range fail, or are locked, and leaves them out."""

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

import structlog
from django.db import DatabaseError

from todos.bulk.errors import is_blocked, log_or_raise
from todos.bulk.operation import BulkOperation

logger = structlog.get_logger(__name__)

#: How long to keep searching with nothing but time-outs. After that, all rows are concerned.
PATIENCE_SECONDS = 60.0


def isolate[K](
    operation: BulkOperation[K, Any], after: K | None, through: K, user_id: int | None = None
) -> None:
    """Act on the todos of a range that failed as a whole, without those that make it fail.

    Halves the people of the range until each who fails stands alone, and then halves that person's
    todos. A todo that fails alone is left out for good, and the report says why. Locked todos are
    passed over; if that takes too long nevertheless, the person is left out until the end.

    Args:
        operation: whose checkpoint notes what is left out.
        after: the range begins after this position; None for the beginning.
        through: the range's last position.
        user_id: act on this person's todos alone.
    """
    bisection = Bisection()
    unsolved = partial(operation.unsolved, after, through, user_id)

    def act_on(**these: int) -> None:
        operation.step(lambda: operation.act_on_unlocked(unsolved().filter(**these)))

    def act_on_owners(ids: Sequence[int]) -> None:
        act_on(user_id__gte=ids[0], user_id__lte=ids[-1])

    def leave_out_owner(owner: int, error: DatabaseError) -> None:
        if is_blocked(error):
            operation.step(lambda: operation.checkpoint.owner_held(owner, after))
            return

        def act_on_rows(pks: Sequence[int]) -> None:
            act_on(user_id=owner, pk__gte=pks[0], pk__lte=pks[-1])

        rows = unsolved().filter(user_id=owner).order_by("pk").values_list("pk", flat=True)
        pks = operation.store.read(lambda: list(rows))
        bisection.run(pks, act_on_rows, partial(leave_out_row, operation, owner))

    people = unsolved().order_by("user_id").values_list("user_id", flat=True).distinct()
    bisection.run(operation.store.read(lambda: list(people)), act_on_owners, leave_out_owner)


def leave_out_row[K](
    operation: BulkOperation[K, Any], owner: int, pk: int, error: DatabaseError
) -> None:
    """Leave out a todo that makes it fail; or all of its owner's until the end, if it is locked."""
    if is_blocked(error):
        operation.step(lambda: operation.checkpoint.owner_held(owner, None))
        return
    why = operation.why(error)
    logger.warning("todo left out", user_id=owner, todo_id=pk, reason=why)
    operation.step(lambda: operation.checkpoint.row_left_out(owner, pk, why))


class Bisection:
    """Halves ids until each that fails stands alone."""

    def __init__(self) -> None:
        self._succeeded_at = monotonic()

    def run(
        self,
        ids: Sequence[int],
        act: Callable[[Sequence[int]], None],
        leave_out: Callable[[int, DatabaseError], None],
    ) -> None:
        """Act on all ids but those that fail.

        Args:
            ids: in ascending order.
            act: called with consecutive ids; may raise DatabaseError.
            leave_out: called with each id that fails alone.

        Raises:
            DatabaseError: leaving out some ids does not help, or not within PATIENCE_SECONDS.
        """
        if not ids:
            return
        try:
            act(ids)
        except DatabaseError as error:
            log_or_raise(error, "part of a range failed", ids=len(ids))
            if is_blocked(error) and monotonic() - self._succeeded_at > PATIENCE_SECONDS:
                raise
            if len(ids) == 1:
                leave_out(ids[0], error)
                return
            middle = len(ids) // 2
            for half in (ids[:middle], ids[middle:]):
                self.run(half, act, leave_out)
        else:
            self._succeeded_at = monotonic()
