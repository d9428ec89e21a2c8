"""The way into the trash, out of it again, and off for good."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Q

from accounts.models import User
from todos import account as accounts
from todos.account import MOST_ERRORS, Errors, WalkError
from todos.faults import is_taken
from todos.functions import CurrentTime
from todos.models import Todo, TodoQuerySet, TrashedTodo, TrashedTodoQuerySet
from todos.rows import Rows
from todos.walk import Walk, default_batch_size

#: Why a todo stays in the trash: its owner there is no longer, or its place is taken.
OWNER_GONE = "account deleted"
ID_TAKEN = "another todo has its number"


def throw_away(rows: Rows, *, trashed_by: User | None = None, run_id: int | None = None) -> int:
    """Move todos to the trash, or delete them if there is none; return how many went.

    Args:
        rows: of todos.
        trashed_by: who deletes them.
        run_id: the cleanup that takes them.
    """
    if not settings.TODO_TRASH_DAYS:
        return rows.delete()
    return rows.move(
        TrashedTodo,
        trashed_at=CurrentTime(),
        trash_days=settings.TODO_TRASH_DAYS,
        trashed_by=trashed_by and trashed_by.pk,
        run_id=run_id,
    )


def act_of_throwing_away() -> str:
    """Return what `throw_away` does to rows: `move` or `delete`."""
    return "move" if settings.TODO_TRASH_DAYS else "delete"


class Deletion(Walk):
    """Throws away a selection of todos that somebody made."""

    def __init__(self, todos: TodoQuerySet, *, by: User) -> None:
        """Prepare it.

        Args:
            todos: what was selected.
            by: who did.
        """
        super().__init__()
        self._todos = todos
        self._by = by

    def candidates(self) -> TodoQuerySet:
        """Return the selection."""
        return self._todos

    eligible = candidates

    def act(self, rows: Rows) -> int:
        """Throw a range away."""
        return throw_away(rows, trashed_by=self._by)

    def default_batch_size(self) -> int:
        """Return how many go in one transaction."""
        return default_batch_size(act_of_throwing_away())


class RestoreReport(TypedDict):
    """The result of a restoring, as plain data.

    `todos_left` of those asked for are still in the trash, for the reasons in `errors`.
    """

    todos_restored: int
    todos_left: int
    errors: list[WalkError]


class Restore(Walk):
    """Brings todos back from the trash, as they were, with the same ids."""

    def __init__(self, selection: TrashedTodoQuerySet) -> None:
        """Prepare it.

        Args:
            selection: what to bring back.
        """
        super().__init__()
        self._selection = selection

    def candidates(self) -> TrashedTodoQuerySet:
        """Return all that was asked for."""
        return self._selection

    def eligible(self) -> TrashedTodoQuerySet:
        """Return those with somebody to give them back to."""
        return self._selection.with_owner()

    def act(self, rows: Rows) -> int:
        """Move a range back to the list."""
        return bring_back(rows)

    def default_batch_size(self) -> int:
        """Return how many come back in one transaction."""
        return default_batch_size("restore")

    def why(self, error: DatabaseError) -> str:
        """Return why a todo could not be brought back."""
        return ID_TAKEN if is_taken(error) else super().why(error)

    def preview(self) -> RestoreReport:
        """Say what `run` would do now; touch nothing.

        Of todos whose numbers are taken, those are counted that would be left out one by one.
        """
        taken = self._selection.with_owner().with_taken_id().order_by("pk")
        account = accounts.new(None, None)
        for user_id, pk in taken.values_list("user_id", "pk")[: accounts.MOST_ROWS]:
            accounts.blame_row(account, user_id, pk, ID_TAKEN)
        self.take_up(account)
        return self.report(self.count() - len(self.left_rows))

    def report(self, todos_restored: int) -> RestoreReport:
        """Return the result: what was brought back, and what could not be, and why."""
        orphans = self._selection.without_owner().values("user_id").annotate(todos=Count("pk"))
        ownerless = {row["user_id"]: row["todos"] for row in orphans.order_by("user_id")}
        out = Q(user_id__in=[*self.failed, *self.locked]) | Q(pk__in=self.left_rows)
        failed = self._selection.with_owner().filter(out).count()
        gone: list[WalkError] = [
            {"user_id": user_id, "reason": OWNER_GONE} for user_id in ownerless
        ]
        return {
            "todos_restored": todos_restored,
            "todos_left": sum(ownerless.values()) + failed,
            "errors": [*self.errors, *gone][:MOST_ERRORS],
        }


def bring_back(rows: Rows) -> int:
    """Move rows of the trash back to the list; return how many.

    Their keep time starts afresh.
    """
    return rows.move(Todo, restored_at=CurrentTime())


class PurgeReport(Errors):
    """The result of a purge, as plain data."""

    todos_purged: int


class Purge(Walk):
    """Deletes for good what has been in the trash for long enough."""

    key = "trashed_at"

    def __init__(self, *, as_of: datetime, days: int | None = None, user: User | None = None):
        """Prepare it.

        Args:
            as_of: the moment that the days are counted back from.
            days: how long todos stay in the trash, whatever they were promised; None for that, or
                TODO_TRASH_DAYS if that is more.
            user: purge this person's trash alone.
        """
        super().__init__()
        self._as_of = as_of
        self._days = days
        self._trash_days: int = settings.TODO_TRASH_DAYS
        self._user = user

    def begin(self) -> dict[str, Any]:
        """Return what stays the same for as long as this purge is carried on."""
        return {
            "as_of": self._as_of.isoformat(),
            "days": self._days,
            "trash_days": self._trash_days,
        }

    def take_up(self, account: Mapping[str, Any]) -> None:
        """Go on with the same moment and the same days."""
        super().take_up(account)
        self._days = account["days"]
        # The version before did not keep these, and wrote its days among the former.
        self._as_of = datetime.fromisoformat(account.get("as_of", self._as_of.isoformat()))
        self._trash_days = account.get("trash_days", self._trash_days)

    def candidates(self) -> TrashedTodoQuerySet:
        """Return what has been in the trash for long enough."""
        trash = TrashedTodo.objects.all()
        if self._days is None:
            old = trash.past_promise(as_of=self._as_of, trash_days=self._trash_days)
        else:
            old = trash.trashed_before(self._as_of - timedelta(days=self._days))
        return old.filter(user=self._user) if self._user else old

    eligible = candidates

    def act(self, rows: Rows) -> int:
        """Delete a range."""
        return rows.delete()

    def default_batch_size(self) -> int:
        """Return how many go in one transaction."""
        return default_batch_size("delete")

    def report(self, todos_purged: int) -> PurgeReport:
        """Return the result."""
        return {"todos_purged": todos_purged, **self.error_report()}
