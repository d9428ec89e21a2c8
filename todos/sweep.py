"""The sweep: takes completed todos off everyone's list once their keep time is over."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from accounts.models import User
from todos.account import Errors
from todos.models import Todo, TodoQuerySet
from todos.rows import Rows
from todos.trash import act_of_throwing_away, throw_away
from todos.walk import Walk, default_batch_size


class SweepReport(Errors):
    """The result of a sweep as plain data, for a message or a line of JSON."""

    users_processed: int
    todos_deleted: int


class Sweep(Walk):
    """One sweep, of everyone or of one person."""

    def __init__(
        self, *, as_of: datetime, keep_days: int | None = None, user: User | None = None
    ) -> None:
        """Prepare it.

        Args:
            as_of: the moment that keep times are counted back from.
            keep_days: the keep time of whoever has none of their own; None for the site's.
            user: sweep this person's todos alone.
        """
        super().__init__()
        self._as_of = as_of
        self._keep_days = settings.TODO_KEEP_COMPLETED_DAYS if keep_days is None else keep_days
        self._user = user

    def begin(self) -> dict[str, Any]:
        """Return what stays the same for as long as this sweep is carried on."""
        return {
            "as_of": self._as_of.isoformat(),
            "keep_days": self._keep_days,
            "users_processed": self.users_processed(),
        }

    def take_up(self, account: Mapping[str, Any]) -> None:
        """Go on with the same moment and the same keep time."""
        super().take_up(account)
        self._keep_days = account["keep_days"]
        # The version before did not keep it.
        self._as_of = datetime.fromisoformat(account.get("as_of", self._as_of.isoformat()))

    def candidates(self) -> TodoQuerySet:
        """Return the completed todos that this sweep looks at."""
        return self._todos().completed()

    def eligible(self) -> TodoQuerySet:
        """Return the todos that are to go."""
        return self._todos().due_for_cleanup(as_of=self._as_of, keep_days=self._keep_days)

    def act(self, rows: Rows) -> int:
        """Throw a range away."""
        return throw_away(rows, run_id=self.run_id)

    def default_batch_size(self) -> int:
        """Return how many are passed in one transaction."""
        return default_batch_size(act_of_throwing_away())

    def _todos(self) -> TodoQuerySet:
        return Todo.objects.filter(user=self._user) if self._user else Todo.objects.all()

    def users_processed(self) -> int:
        """Count the people who take part."""
        people = User.objects.taking_part()
        return people.filter(pk=self._user.pk).count() if self._user else people.count()

    def report(self, todos_deleted: int, users_processed: int) -> SweepReport:
        """Return the result."""
        return {
            "users_processed": users_processed,
            "todos_deleted": todos_deleted,
            **self.error_report(),
        }
