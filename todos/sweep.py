"""The sweep: deletes completed todos of all users at the database's own speed.

It walks the primary key. A partial index of the completed todos gives the end of the next range;
one short transaction deletes the eligible todos of that range. So its cost follows the completed
todos, not the table or the number of users, memory does not grow, and nobody waits for a lock for
longer than one batch takes. `docs/architecture.md` has the alternatives that were measured.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypedDict

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Max

from accounts.models import User
from todos.faults import fault_of_rows, reason
from todos.models import Todo, TodoQuerySet

logger = structlog.get_logger(__name__)

#: Completed todos in one transaction: on PostgreSQL about 20 ms, which another user hardly notices;
#: on SQLite everyone else who writes waits for as long as it takes.
BATCH_SIZES = {"postgresql": 20_000, "sqlite": 2_000}


class SweepError(TypedDict):
    """A person whose todos could not be swept, and why. Never holds a todo's text."""

    user_id: int
    reason: str


class SweepReport(TypedDict):
    """The result of a sweep as plain data, for a message or a line of JSON."""

    users_processed: int
    todos_deleted: int
    errors: list[SweepError]


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What a sweep did."""

    users_processed: int
    todos_deleted: int
    errors: Sequence[SweepError] = ()

    def report(self) -> SweepReport:
        """Return the result as plain data."""
        return {
            "users_processed": self.users_processed,
            "todos_deleted": self.todos_deleted,
            "errors": list(self.errors),
        }


@dataclass(frozen=True, kw_only=True)
class SweepProgress:
    """How far a sweep has come: it goes from id 0 to `last_id`."""

    cursor: int
    last_id: int
    todos_deleted: int


class Checkpoint(Protocol):
    """Where a sweep keeps its account, so that it can be carried on after any interruption."""

    def step(self) -> AbstractContextManager[dict[str, Any]]:
        """Open a transaction on the account.

        Yields what earlier steps have written there. What is written to it, and to the database,
        is kept if the block ends well; otherwise neither is. May raise instead of yielding, when
        the sweep is to stop for now.
        """


class InMemory:
    """A checkpoint for a sweep that is not carried on."""

    def __init__(self) -> None:
        self._account: dict[str, Any] = {}

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Open a transaction on the account."""
        account = dict(self._account)
        with transaction.atomic(durable=True):
            yield account
        self._account = account


@dataclass(kw_only=True)
class Sweep:
    """One sweep, of everyone or of one person.

    Attributes:
        as_of: the moment that keep times are counted back from.
        keep_days: the keep time of whoever has none of their own; None for the site's.
        user: sweep this person's todos alone.
        errors: the people whose todos could not be swept, so far.
    """

    as_of: datetime
    keep_days: int | None = None
    user: User | None = None
    errors: list[SweepError] = field(default_factory=list)

    def preview(self) -> SweepResult:
        """Count what `run` would do now, with the same query; touch nothing."""
        return SweepResult(
            users_processed=self._users_processed(), todos_deleted=self._eligible().count()
        )

    def run(
        self,
        *,
        batch_size: int | None = None,
        on_batch: Callable[[SweepProgress], None] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> SweepResult:
        """Sweep, range by range; what the account says has been swept before is counted in.

        Args:
            batch_size: completed todos to pass in one transaction.
            on_batch: called after each range.
            checkpoint: keeps the account; by default nothing does.

        Raises:
            DatabaseError: the database failed in a way that is nobody's data's fault. What was
                swept stays swept; running again goes on with the rest.
        """
        checkpoint = checkpoint or InMemory()
        with checkpoint.step() as account:
            if not account:
                account.update(self._new_account())
        self.keep_days, self.errors = account["keep_days"], account["errors"]
        cursor, last_id = account["cursor"], account["last_id"]
        for after, through in self._ranges(cursor, last_id, batch_size or default_batch_size()):
            account = self._sweep_range(checkpoint, after, through)
            if on_batch:
                deleted = account["todos_deleted"]
                on_batch(SweepProgress(cursor=through, last_id=last_id, todos_deleted=deleted))
        return SweepResult(
            users_processed=account["users_processed"],
            todos_deleted=account["todos_deleted"],
            errors=self.errors,
        )

    def _new_account(self) -> dict[str, Any]:
        """Return what stays the same for as long as this sweep is carried on, and its counts."""
        return {
            "keep_days": self._keep_days(),
            "last_id": self._todos().completed().aggregate(last=Max("pk"))["last"] or 0,
            "users_processed": self._users_processed(),
            "cursor": 0,
            "todos_deleted": 0,
            "errors": [],
        }

    def _keep_days(self) -> int:
        site: int = settings.TODO_KEEP_COMPLETED_DAYS
        return site if self.keep_days is None else self.keep_days

    def _todos(self) -> TodoQuerySet:
        """Return the todos that this sweep looks at."""
        return Todo.objects.filter(user=self.user) if self.user else Todo.objects.all()

    def _eligible(self) -> TodoQuerySet:
        """Return the todos that are to go, without those of people who failed."""
        eligible = self._todos().due_for_cleanup(as_of=self.as_of, keep_days=self._keep_days())
        if self.errors:
            return eligible.exclude(user_id__in=[error["user_id"] for error in self.errors])
        return eligible

    def _users_processed(self) -> int:
        people = User.objects.taking_part()
        return people.filter(pk=self.user.pk).count() if self.user else people.count()

    def _ranges(self, after: int, last_id: int, batch_size: int) -> Iterator[tuple[int, int]]:
        """Cut the ids after one, up to another, into ranges of `batch_size` completed todos."""
        while after < last_id:
            ahead = self._todos().completed().filter(pk__gt=after, pk__lte=last_id).order_by("pk")
            end = ahead.values_list("pk", flat=True)[batch_size - 1 : batch_size].first()
            through = last_id if end is None else end
            yield after, through
            after = through

    def _sweep_range(self, checkpoint: Checkpoint, after: int, through: int) -> dict[str, Any]:
        """Delete the eligible todos of one range; return the account."""
        todos = self._eligible().filter(pk__gt=after, pk__lte=through)
        try:
            with checkpoint.step() as account:
                account["todos_deleted"] += delete(todos)
                account["cursor"] = through
        except DatabaseError as error:
            if not fault_of_rows(error):
                raise
            logger.warning("range failed", after=after, through=through, reason=reason(error))
        else:
            return account
        owners = todos.order_by("user_id").values_list("user_id", flat=True).distinct()
        self._sweep_owners(checkpoint, todos, list(owners))
        with checkpoint.step() as account:
            account["cursor"] = through
        return account

    def _sweep_owners(
        self, checkpoint: Checkpoint, todos: TodoQuerySet, owners: Sequence[int]
    ) -> None:
        """Delete `todos` of `owners`, halving them until whoever makes it fail stands alone.

        Args:
            checkpoint: keeps the account.
            todos: the eligible todos of one range.
            owners: ids of their users, in ascending order.
        """
        if not owners:
            return
        try:
            with checkpoint.step() as account:
                account["todos_deleted"] += delete(
                    todos.filter(user_id__gte=owners[0], user_id__lte=owners[-1])
                )
        except DatabaseError as error:
            if not fault_of_rows(error):
                raise
            if len(owners) > 1:
                middle = len(owners) // 2
                self._sweep_owners(checkpoint, todos, owners[:middle])
                self._sweep_owners(checkpoint, todos, owners[middle:])
                return
            self.errors.append({"user_id": owners[0], "reason": reason(error)})
            logger.warning("todos not swept", **self.errors[-1])
            with checkpoint.step() as account:
                account["errors"] = self.errors


def default_batch_size() -> int:
    """Return the number of completed todos that one transaction passes."""
    return settings.TODO_SWEEP_BATCH_SIZE or BATCH_SIZES[connection.vendor]


def delete(todos: TodoQuerySet) -> int:
    """Delete `todos` with one statement; return how many went.

    The conditions stand in the DELETE itself. So a todo that its owner is reopening at this moment
    is looked at again once they have, and stays. Deleting by ids found earlier would take it.
    """
    deleted, _ = todos.delete()
    return deleted
