"""The sweep: removes completed todos from everyone's list once their keep time is over.

Which todos those are, `todos/rules.py` says. How they are removed, batch by batch and around locked
rows, is in `todos/bulk/runner.py` and `failing_rows.py`.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from django.conf import settings

from accounts.models import User
from todos.bulk.checkpoint import ErrorReport
from todos.bulk.operation import IdOperation, Verb
from todos.bulk.sql import Rows
from todos.bulk.trash import move_to_trash, trash_verb
from todos.models import Todo, TodoQuerySet


class SweepReport(ErrorReport):
    """The result of a sweep as plain data, for a message or a line of JSON."""

    users_processed: int
    todos_deleted: int


class Sweep(IdOperation[SweepReport]):
    """One sweep, of everyone or of one person; `TodoService.sweep` explains its arguments."""

    def __init__(
        self, *, as_of: datetime, keep_days: int | None = None, user: User | None = None
    ) -> None:
        super().__init__()
        self._as_of = as_of
        self._keep_days = settings.TODO_KEEP_COMPLETED_DAYS if keep_days is None else keep_days
        self._user = user

    @property
    def verb(self) -> Verb:
        return trash_verb()

    @cached_property
    def users_processed(self) -> int:
        """How many people took part at the beginning."""
        people = User.objects.taking_part()
        return (people.filter(pk=self._user.pk) if self._user else people).count()

    def candidates(self) -> TodoQuerySet:
        return self._todos().completed()

    def eligible(self) -> TodoQuerySet:
        return self._todos().due_for_cleanup(as_of=self._as_of, keep_days=self._keep_days)

    def _todos(self) -> TodoQuerySet:
        return Todo.objects.filter(user=self._user) if self._user else Todo.objects.all()

    def act(self, rows: Rows[int]) -> int:
        return move_to_trash(rows, run_id=self.store.run_id)

    def terms(self) -> dict[str, Any]:
        return {
            "as_of": self._as_of.isoformat(),
            "keep_days": self._keep_days,
            "users_processed": self.users_processed,
        }

    def adopt(self, terms: Mapping[str, Any]) -> None:
        self._keep_days = terms["keep_days"]
        self.users_processed = terms["users_processed"]
        if "as_of" in terms:  # The version before did not keep it.
            self._as_of = datetime.fromisoformat(terms["as_of"])

    def report(self) -> SweepReport:
        return {
            "users_processed": self.users_processed,
            "todos_deleted": self.checkpoint.rows,
            **self.checkpoint.error_report(),
        }
