"""The sweep: takes completed todos off everyone's list once their keep time is over."""

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
    """One sweep, of everyone or of one person."""

    def __init__(
        self, *, as_of: datetime, keep_days: int | None = None, user: User | None = None
    ) -> None:
        """Choose what to sweep.

        Args:
            as_of: the moment that keep times are counted back from.
            keep_days: the keep time of whoever has none of their own; None for the site's.
            user: sweep this person's todos alone.
        """
        super().__init__()
        self._as_of = as_of
        self._keep_days = settings.TODO_KEEP_COMPLETED_DAYS if keep_days is None else keep_days
        self._of_user = {} if user is None else {"user": user}
        self._people = User.objects.taking_part()
        if user is not None:
            self._people = self._people.filter(pk=user.pk)

    @property
    def verb(self) -> Verb:
        """Move, or delete if there is no trash."""
        return trash_verb()

    @cached_property
    def users_processed(self) -> int:
        """How many people took part when this began."""
        return self._people.count()

    def candidates(self) -> TodoQuerySet:
        """Return the completed todos that this sweep looks at."""
        return Todo.objects.filter(**self._of_user).completed()

    def eligible(self) -> TodoQuerySet:
        """Return the todos that are to go."""
        todos = Todo.objects.filter(**self._of_user)
        return todos.due_for_cleanup(as_of=self._as_of, keep_days=self._keep_days)

    def act(self, rows: Rows[int]) -> int:
        """Move a range to the trash."""
        return move_to_trash(rows, run_id=self.store.run_id)

    def terms(self) -> dict[str, Any]:
        """Keep the moment, the keep time and the number of people."""
        return {
            "as_of": self._as_of.isoformat(),
            "keep_days": self._keep_days,
            "users_processed": self.users_processed,
        }

    def adopt(self, terms: Mapping[str, Any]) -> None:
        """Go on with them. The version before did not keep the moment."""
        self._keep_days = terms["keep_days"]
        self.users_processed = terms["users_processed"]
        if "as_of" in terms:
            self._as_of = datetime.fromisoformat(terms["as_of"])

    def report(self) -> SweepReport:
        """Return how many people took part, how many todos went, and whose did not."""
        return {
            "users_processed": self.users_processed,
            "todos_deleted": self.checkpoint.rows,
            **self.checkpoint.error_report(),
        }
