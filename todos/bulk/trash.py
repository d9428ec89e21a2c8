"""Bulk operations on the trash: into it, out of it again, and off for good."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Q

from accounts.models import User
from todos.bulk.checkpoint import MOST_ERRORS, MOST_LEFT_ROWS, ErrorReport, OwnerError
from todos.bulk.errors import is_duplicate
from todos.bulk.keys import MomentKey, Position
from todos.bulk.operation import BulkOperation, IdOperation, Verb
from todos.bulk.sql import Rows
from todos.functions import CurrentTime
from todos.models import Todo, TodoQuerySet, TrashedTodo, TrashedTodoQuerySet

#: Why a todo stays in the trash.
OWNER_GONE = "account deleted"
ID_IN_USE = "another todo has its number"


def move_to_trash(
    rows: Rows[int], *, trashed_by: User | None = None, run_id: int | None = None
) -> int:
    """Move todos to the trash, or delete them if there is none; return how many went.

    Args:
        rows: of todos.
        trashed_by: who deletes them.
        run_id: the cleanup that removes them.
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


def trash_verb() -> Verb:
    """Return what `move_to_trash` does."""
    return "move" if settings.TODO_TRASH_DAYS else "delete"


def restore(rows: Rows[int]) -> int:
    """Move rows of the trash back to the list; return how many.

    Their keep time starts afresh.
    """
    return rows.move(Todo, restored_at=CurrentTime())


class Deletion(IdOperation[int]):
    """Moves a selection of todos to the trash; reports how many went."""

    def __init__(self, todos: TodoQuerySet, *, by: User) -> None:
        """Choose todos, and say who deletes them."""
        super().__init__()
        self._todos = todos
        self._by = by

    @property
    def verb(self) -> Verb:
        """Move, or delete if there is no trash."""
        return trash_verb()

    def candidates(self) -> TodoQuerySet:
        """Return the selection."""
        return self._todos

    eligible = candidates

    def act(self, rows: Rows[int]) -> int:
        """Move a range to the trash."""
        return move_to_trash(rows, trashed_by=self._by)

    def report(self) -> int:
        """Return how many went."""
        return self.checkpoint.rows


class RestoreReport(TypedDict):
    """The result of a restoring, as plain data.

    `todos_left` of those asked for are still in the trash, for the reasons in `errors`.
    """

    todos_restored: int
    todos_left: int
    errors: list[OwnerError]


class Restore(IdOperation[RestoreReport]):
    """Moves todos from the trash back to the list, as they were, with the same ids."""

    verb: Verb = "restore"

    def __init__(self, selection: TrashedTodoQuerySet) -> None:
        """Choose what to restore."""
        super().__init__()
        self._selection = selection

    def candidates(self) -> TrashedTodoQuerySet:
        """Return all that was asked for."""
        return self._selection

    def eligible(self) -> TrashedTodoQuerySet:
        """Return those with somebody to give them back to."""
        return self._selection.with_owner()

    def act(self, rows: Rows[int]) -> int:
        """Restore a range."""
        return restore(rows)

    def why(self, error: DatabaseError) -> str:
        """Return why a todo could not be restored."""
        return ID_IN_USE if is_duplicate(error) else super().why(error)

    def preview(self) -> RestoreReport:
        """Return what a run would report now; touch nothing.

        Of todos whose ids are in use, those are counted that would be left out one by one.
        """
        left = self._selection.with_owner().with_id_in_use().order_by("pk")
        for user_id, pk in left.values_list("user_id", "pk")[:MOST_LEFT_ROWS]:
            self.checkpoint = self.checkpoint.row_left_out(user_id, pk, ID_IN_USE)
        return super().preview()

    def report(self) -> RestoreReport:
        """Return what was restored, what was not, and why."""
        return self.store.read(self._report)

    def _report(self) -> RestoreReport:
        orphans = self._selection.without_owner().values("user_id").annotate(todos=Count("pk"))
        ownerless = {row["user_id"]: row["todos"] for row in orphans.order_by("user_id")}
        checkpoint = self.checkpoint
        out = Q(user_id__in=[*checkpoint.failed, *checkpoint.locked])
        out |= Q(pk__in=[pk for _, pk in checkpoint.left_rows])
        gone: list[OwnerError] = [
            {"user_id": user_id, "reason": OWNER_GONE} for user_id in ownerless
        ]
        return {
            "todos_restored": checkpoint.rows,
            "todos_left": sum(ownerless.values()) + self.eligible().filter(out).count(),
            "errors": [*checkpoint.errors, *gone][:MOST_ERRORS],
        }


class PurgeReport(ErrorReport):
    """The result of a purge, as plain data."""

    todos_purged: int


class Purge(BulkOperation[Position, PurgeReport]):
    """Deletes for good what has been in the trash for long enough."""

    key = MomentKey("trashed_at")
    verb: Verb = "delete"

    def __init__(self, *, as_of: datetime, days: int | None = None, user: User | None = None):
        """Choose what to purge.

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

    def candidates(self) -> TrashedTodoQuerySet:
        """Return what has been in the trash for long enough."""
        trash = TrashedTodo.objects.all()
        if self._days is None:
            old = trash.past_promise(as_of=self._as_of, trash_days=self._trash_days)
        else:
            old = trash.trashed_before(self._as_of - timedelta(days=self._days))
        return old.filter(user=self._user) if self._user else old

    eligible = candidates

    def act(self, rows: Rows[Position]) -> int:
        """Delete a range."""
        return rows.delete()

    def terms(self) -> dict[str, Any]:
        """Keep the moment and the days."""
        return {
            "as_of": self._as_of.isoformat(),
            "days": self._days,
            "trash_days": self._trash_days,
        }

    def adopt(self, terms: Mapping[str, Any]) -> None:
        """Go on with them. The version before kept `days` alone."""
        self._days = terms["days"]
        self._trash_days = terms.get("trash_days", self._trash_days)
        if "as_of" in terms:
            self._as_of = datetime.fromisoformat(terms["as_of"])

    def report(self) -> PurgeReport:
        """Return how many were deleted, and whose were not."""
        return {"todos_purged": self.checkpoint.rows, **self.checkpoint.error_report()}
