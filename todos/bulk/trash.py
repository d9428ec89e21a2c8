"""Bulk operations on the trash: moving todos there, restoring them, and purging."""

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
    rows: Rows[int],
    *,
    trashed_by: User | None = None,
    run_id: int | None = None,
    trashed_at: datetime | None = None,
) -> int:
    """Move todos to the trash, or delete them if there is none; return how many.

    Args:
        rows: of todos.
        trashed_by: the person who deletes them.
        run_id: the cleanup that removes them.
        trashed_at: the moment to stamp, by the database's clock; by default, that of the statement.
    """
    if not settings.TODO_TRASH_DAYS:
        return rows.delete()
    return rows.move(
        TrashedTodo,
        trashed_at=trashed_at or CurrentTime(),
        trash_days=settings.TODO_TRASH_DAYS,
        trashed_by=trashed_by and trashed_by.pk,
        run_id=run_id,
    )


def trash_verb() -> Verb:
    """Return what `move_to_trash` does."""
    return "move" if settings.TODO_TRASH_DAYS else "delete"


def restore(rows: Rows[int]) -> int:
    """Move rows of the trash back to the list, with a new keep time; return how many."""
    return rows.move(Todo, restored_at=CurrentTime())


class Deletion(IdOperation[int]):
    """Moves a selection of todos to the trash; reports how many."""

    def __init__(self, todos: TodoQuerySet, *, by: User) -> None:
        super().__init__()
        self._todos = todos
        self._by = by

    @property
    def verb(self) -> Verb:
        return trash_verb()

    def candidates(self) -> TodoQuerySet:
        return self._todos

    # All that are selected.
    eligible = candidates

    def act(self, rows: Rows[int]) -> int:
        return move_to_trash(rows, trashed_by=self._by)

    def report(self) -> int:
        return self.checkpoint.rows


class RestoreReport(TypedDict):
    """The result as plain data; `todos_left` are still in the trash, `errors` says why."""

    todos_restored: int
    todos_left: int
    errors: list[OwnerError]


class Restore(IdOperation[RestoreReport]):
    """Moves a selection of todos from the trash back to the list, with the same ids."""

    verb: Verb = "restore"

    def __init__(self, selection: TrashedTodoQuerySet) -> None:
        super().__init__()
        self._selection = selection

    def candidates(self) -> TrashedTodoQuerySet:
        return self._selection

    def eligible(self) -> TrashedTodoQuerySet:
        return self._selection.with_owner()

    def act(self, rows: Rows[int]) -> int:
        return restore(rows)

    def why(self, error: DatabaseError) -> str:
        return ID_IN_USE if is_duplicate(error) else super().why(error)

    def preview(self) -> RestoreReport:
        """Also find the todos that would be left out one by one, as their ids are in use."""
        left = self._selection.with_owner().with_id_in_use().order_by("pk")
        for user_id, pk in left.values_list("user_id", "pk")[:MOST_LEFT_ROWS]:
            self.checkpoint = self.checkpoint.row_left_out(user_id, pk, ID_IN_USE)
        return super().preview()

    def report(self) -> RestoreReport:
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


class Discard(IdOperation[int]):
    """Deletes a selection of the trash for good, at its owner's wish; reports how many."""

    verb: Verb = "delete"

    def __init__(self, selection: TrashedTodoQuerySet) -> None:
        super().__init__()
        self._selection = selection

    def candidates(self) -> TrashedTodoQuerySet:
        return self._selection

    # All that are selected.
    eligible = candidates

    def act(self, rows: Rows[int]) -> int:
        return rows.delete()

    def report(self) -> int:
        return self.checkpoint.rows


class PurgeReport(ErrorReport):
    todos_purged: int


class Purge(BulkOperation[Position, PurgeReport]):
    """Deletes for good what has been in the trash for long enough.

    `TodoService.purge` explains its arguments.
    """

    key = MomentKey("trashed_at")
    verb: Verb = "delete"

    def __init__(self, *, as_of: datetime, days: int | None = None, user: User | None = None):
        super().__init__()
        self._as_of = as_of
        self._days = days
        self._trash_days: int = settings.TODO_TRASH_DAYS
        self._user = user

    def candidates(self) -> TrashedTodoQuerySet:
        trash = TrashedTodo.objects.all()
        if self._days is None:
            old = trash.past_promise(as_of=self._as_of, trash_days=self._trash_days)
        else:
            old = trash.trashed_before(self._as_of - timedelta(days=self._days))
        return old.filter(user=self._user) if self._user else old

    # Age is the whole rule, and `candidates` applies it: each of them is purged. Of a sweep's, some
    # belong to people with another rule.
    eligible = candidates

    def act(self, rows: Rows[Position]) -> int:
        return rows.delete()

    def terms(self) -> dict[str, Any]:
        return {
            "as_of": self._as_of.isoformat(),
            "days": self._days,
            "trash_days": self._trash_days,
        }

    def adopt(self, terms: Mapping[str, Any]) -> None:
        self._days = terms["days"]  # The version before kept these alone.
        self._trash_days = terms.get("trash_days", self._trash_days)
        if "as_of" in terms:
            self._as_of = datetime.fromisoformat(terms["as_of"])

    def report(self) -> PurgeReport:
        return {"todos_purged": self.checkpoint.rows, **self.checkpoint.error_report()}
