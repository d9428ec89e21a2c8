"""Bulk operations: what is done to very many todos, and how one step of it is done.

An operation passes ranges of a key. An index gives the end of the next range; one short transaction
acts on the rows of that range and stores the checkpoint. So the cost depends on the rows to act on,
not on the table or the number of users; memory does not grow; and nobody waits for a lock for
longer than one range takes. `docs/architecture.md` has the alternatives that were measured.
`todos/bulk/runner.py` runs an operation.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Max, Min, QuerySet

from todos.bounds import MAX_ID
from todos.bulk.checkpoint import Checkpoint
from todos.bulk.errors import reason, twice
from todos.bulk.keys import ID, Key
from todos.bulk.ranges import Count, IdRanges, Ranges
from todos.bulk.sql import Rows
from todos.bulk.store import CheckpointStore, InMemoryStore
from todos.models import Todo, TrashedTodo

type Verb = Literal["delete", "move", "restore"]
type Todos = QuerySet[Todo] | QuerySet[TrashedTodo]

#: Rows in one transaction. On PostgreSQL it takes some 25 ms, which another user hardly notices; on
#: SQLite all other writers wait meanwhile. Moving a row takes longer than deleting it; nobody waits
#: for rows that are restored, as they are on nobody's list yet.
BATCH_ROWS: dict[str, dict[Verb, int]] = {
    "postgresql": {"delete": 50_000, "move": 5_000, "restore": 20_000},
    "sqlite": {"delete": 2_000, "move": 2_000, "restore": 2_000},
}


class BulkOperation[K, R](ABC):
    """An operation with a key of positions K, and a report R.

    Attributes:
        checkpoint: as it was last read or stored.
    """

    key: Key[K]

    def __init__(self) -> None:
        self.store: CheckpointStore = InMemoryStore()
        self.checkpoint: Checkpoint[K] = Checkpoint()
        self._compiled: tuple[tuple[int, ...], Rows[K]] | None = None

    # What each operation defines.

    @property
    @abstractmethod
    def verb(self) -> Verb:
        """What is done to a row, on which the size of a batch depends."""

    @abstractmethod
    def candidates(self) -> Todos:
        """Return the rows that ranges are made of; an index finds them."""

    @abstractmethod
    def eligible(self) -> Todos:
        """Return the candidates to act on."""

    @abstractmethod
    def act(self, rows: Rows[K]) -> int:
        """Act on rows with one statement; return how many there were."""

    @abstractmethod
    def report(self) -> R:
        """Return the result of the whole, from the checkpoint."""

    def why(self, error: DatabaseError) -> str:
        """Return why a todo was left out, for the report; never what a person wrote."""
        return reason(error)

    def terms(self) -> Mapping[str, Any]:
        """Return, as plain data, what must stay the same when the operation continues."""
        return {}

    def adopt(self, terms: Mapping[str, Any]) -> None:  # noqa: B027  (some have no terms)
        """Use the terms that were stored at the beginning, perhaps by the version before."""

    def ranges(self, count: Count[K], *, last: K, size: int) -> Ranges[K]:  # noqa: ARG002
        """Return the ranges from the cursor to the last position, of `size` rows each."""
        return Ranges(count, size=size)

    # What the runner calls.

    def preview(self) -> R:
        """Return what a run would report now; touch nothing."""
        left = len(self.checkpoint.left_rows)
        self.checkpoint = self.checkpoint.acted_on(self._remaining().count() - left)
        return self.report()

    def open(self, store: CheckpointStore) -> None:
        """Read the checkpoint, or store the first one."""
        self.store = store
        twice(self._begin_or_continue)

    def step(self, change: Callable[[], Checkpoint[K]]) -> None:
        """Act on rows and store the checkpoint that follows, in one transaction.

        Args:
            change: acts, and returns the checkpoint. It is called again if the database fails.

        Raises:
            DatabaseError: it failed the second time as well, or in a time-out.
        """

        def change_and_store() -> None:
            with self.store.step() as stored:
                # After a commit whose reply was lost, it is ahead of this object's checkpoint.
                self.checkpoint = Checkpoint.from_json(stored, self.key)
                after = change()
                stored.update(after.to_json(self.key))
            self.checkpoint = after

        twice(change_and_store)

    def batch_size(self) -> int:
        """Return how many candidates one transaction passes by default."""
        return settings.TODO_SWEEP_BATCH_SIZE or BATCH_ROWS[connection.vendor][self.verb]

    def act_on_all(self, after: K | None, through: K) -> Checkpoint[K]:
        """Act on the rows of a range; wait for locked ones."""
        out = (*self.checkpoint.failed, *self.checkpoint.held_owners)
        if self._compiled is None or self._compiled[0] != out:
            self._compiled = out, Rows.of(self._remaining(), key=self.key)
        rows = self._compiled[1].between(after, through)
        return self.checkpoint.acted_on(self.act(rows))

    def act_on_unlocked(self, todos: Todos) -> Checkpoint[K]:
        """Act on those rows that no other transaction has locked."""
        return self.checkpoint.acted_on(self.act(Rows.of(todos, key=self.key).unlocked()))

    def unsolved(self, after: K | None, through: K, user_id: int | None = None) -> Todos:
        """Return the eligible rows of a range that are not left out, until the end or for good.

        With a `user_id`, they are that person's alone, even if they are left out until the end.
        """
        todos = self._remaining(user_id).filter(self.key.between(after, through))
        left = [pk for _, pk in self.checkpoint.left_rows]
        return todos.exclude(pk__in=left) if left else todos

    def _remaining(self, user_id: int | None = None) -> Todos:
        held = (owner for owner in self.checkpoint.held_owners if owner != user_id)
        out = [*self.checkpoint.failed, *held]
        eligible = self.eligible().exclude(user_id__in=out) if out else self.eligible()
        return eligible if user_id is None else eligible.filter(user_id=user_id)

    def _begin_or_continue(self) -> None:
        with self.store.step() as stored:
            if stored:
                self.adopt(stored)
                self.checkpoint = Checkpoint.from_json(stored, self.key)
            else:
                stored.update(self.terms())
                self.checkpoint = self._beginning()
            stored.update(self.checkpoint.to_json(self.key))

    def _beginning(self) -> Checkpoint[K]:
        field = self.key.field
        ends = self.candidates().aggregate(first=Min(field), last=Max(field))
        if ends["first"] is None:
            return Checkpoint()
        position = self.key.position
        return Checkpoint(first=position(ends["first"], 0), last=position(ends["last"], MAX_ID))


class IdOperation[R](BulkOperation[int, R]):
    """An operation in ranges of the primary key, measured where rows are dense."""

    key = ID

    def ranges(self, count: Count[int], *, last: int, size: int) -> Ranges[int]:
        first = self.checkpoint.first
        if first is None:
            return super().ranges(count, last=last, size=size)
        return IdRanges(count, after=self.checkpoint.cursor, first=first, last=last, size=size)
