"""The walk: passes over very many todos in ranges of a key, at the database's own speed.

An index gives the end of the next range; one short transaction does what is to be done to the rows
of that range, and writes down how far it has come. So the cost follows the rows to be passed, not
the table or the number of users, memory does not grow, and nobody waits for a lock for longer than
one range takes. The sweep, the purge and the restoring of a run are such walks.
`docs/architecture.md` has the alternatives that were measured.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Any, ClassVar, NotRequired, Protocol, TypedDict

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Max, Min, QuerySet

from todos.faults import fault_of_rows, reason
from todos.ranges import Ranges
from todos.rows import Rows

logger = structlog.get_logger(__name__)

#: Rows in one transaction: on PostgreSQL some 25 ms, which another user hardly notices; on SQLite
#: everyone else who writes waits for as long as it takes. Moving a row takes longer than deleting;
#: for those that come back nobody waits, as they are on nobody's list yet.
BATCH_SIZES = {
    "postgresql": {"delete": 50_000, "move": 5_000, "restore": 20_000},
    "sqlite": {"delete": 2_000, "move": 2_000, "restore": 2_000},
}

#: How long to rest after a range, beside the time it took. SQLite has one writer at a time, and no
#: queue for the others.
PAUSES = {"postgresql": 0.0, "sqlite": 1.0}

#: People named in a report; how many there are beyond is counted.
MOST_ERRORS = 100


class WalkError(TypedDict):
    """A person whose todos had to be left out, and why. Never holds a todo's text."""

    user_id: int
    reason: str


class Errors(TypedDict):
    """Who had to be left out, as plain data.

    `error_count` is there when `errors` does not name them all.
    """

    errors: list[WalkError]
    error_count: NotRequired[int]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a walk has come.

    Attributes:
        done: how much of the way, from 0 to 1.
        rows: how many rows it has dealt with.
    """

    done: float
    rows: int


type OnBatch = Callable[[Progress], None]


class Checkpoint(Protocol):
    """Where a walk keeps its account, so that it can be carried on after any interruption."""

    @property
    def run_id(self) -> int | None:
        """The run that the walk is part of."""

    def step(self) -> AbstractContextManager[dict[str, Any]]:
        """Open a transaction on the account.

        Yields what earlier steps have written there. What is written to it, and to the database,
        is kept if the block ends well; otherwise neither is. May raise instead of yielding, when
        the walk is to stop for now.
        """

    def read[R](self, do: Callable[[], R]) -> R:
        """Do a reading outside of any step and return what it does.

        It may be done again: when the database is away for a while, that is waited out.
        """


class InMemory:
    """A checkpoint for a walk that is not carried on, and may be part of a larger transaction."""

    run_id: int | None = None

    def __init__(self) -> None:
        self._account: dict[str, Any] = {}

    @contextmanager
    def step(self) -> Iterator[dict[str, Any]]:
        """Open a transaction on the account."""
        account = dict(self._account)
        with transaction.atomic():
            yield account
        self._account = account

    def read[R](self, do: Callable[[], R]) -> R:
        """Do a reading."""
        return do()


class Walk(ABC):
    """One walk.

    Attributes:
        run_id: the run that it is part of.
        errors: some of the people whose todos had to be left out so far.
        failed: the ids of all of them.
    """

    #: What ranges are made of: a field whose values only ever grow along the way.
    key: ClassVar[str] = "id"

    def __init__(self) -> None:
        """Prepare it."""
        self.run_id: int | None = None
        self.errors: list[WalkError] = []
        self.failed: list[int] = []
        self._rows: Rows | None = None

    @abstractmethod
    def candidates(self) -> QuerySet[Any]:
        """Return the rows to be counted off in ranges, by an index."""

    @abstractmethod
    def eligible(self) -> QuerySet[Any]:
        """Return those of them that something is to be done to."""

    @abstractmethod
    def act(self, rows: Rows) -> int:
        """Do it, with one statement; return to how many."""

    @abstractmethod
    def default_batch_size(self) -> int:
        """Return the number of candidates that one transaction passes unless told otherwise."""

    def begin(self) -> dict[str, Any]:
        """Return what the account is to hold beside the walk's own, from the start."""
        return {}

    def take_up(self, account: Mapping[str, Any]) -> None:
        """Go on from what the account holds."""
        self.errors, self.failed = account["errors"], account["failed"]

    def count(self) -> int:
        """Count what `run` would do now, with the same query; touch nothing."""
        return self._remaining().count()

    def run(
        self,
        *,
        batch_size: int | None = None,
        on_batch: OnBatch | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> dict[str, Any]:
        """Walk; what the account says has been done before is counted in.

        Args:
            batch_size: candidates to pass in one transaction.
            on_batch: called after each range.
            checkpoint: keeps the account; by default nothing does.

        Returns:
            The account: `rows` is the number of rows dealt with.

        Raises:
            DatabaseError: the database failed in a way that is nobody's data's fault. What was done
                stays done; running again goes on with the rest.
        """
        checkpoint = checkpoint or InMemory()
        self.run_id = checkpoint.run_id
        with checkpoint.step() as account:
            if not account:
                account.update(self._new_account())
        self.take_up(account)
        candidates = Rows.of(self.candidates(), key=self.key)
        after, first, last = (
            candidates.key.to_python(account[name]) for name in ("cursor", "first", "last")
        )
        size = batch_size or self.default_batch_size()
        ranges = Ranges(candidates, after=after, first=first, last=last, size=size)
        while after != last:
            started, rows = monotonic(), account["rows"]
            through = ranges.end_after(after)
            account = self._pass(checkpoint, after, through)
            ranges.learn(after, through, account["rows"] - rows)
            after = through
            took = monotonic() - started
            if on_batch:
                on_batch(Progress(done=account["done"], rows=account["rows"]))
            if rest := pause() * took:
                sleep(rest)
        return account

    def error_report(self) -> Errors:
        """Return who had to be left out."""
        report: Errors = {"errors": list(self.errors)}
        if len(self.failed) > len(self.errors):
            report["error_count"] = len(self.failed)
        return report

    def _new_account(self) -> dict[str, Any]:
        ends = self.candidates().aggregate(first=Min(self.key), last=Max(self.key))
        return {
            **self.begin(),
            **{name: plain(value) for name, value in ends.items()},
            "cursor": None,
            "done": 0.0,
            "rows": 0,
            "errors": [],
            "failed": [],
        }

    def _remaining(self) -> QuerySet[Any]:
        """Return the eligible rows, without those of people who failed."""
        eligible = self.eligible()
        return eligible.exclude(user_id__in=self.failed) if self.failed else eligible

    def _pass(self, checkpoint: Checkpoint, after: Any, through: Any) -> dict[str, Any]:
        """Act on one range; return the account."""
        try:
            return self._try(checkpoint, after, through)
        except DatabaseError as error:
            # Whatever it was may be over, such as a deadlock.
            logger.warning("range tried again", reason=reason(error))
        try:
            return self._try(checkpoint, after, through)
        except DatabaseError as error:
            if not fault_of_rows(error):
                raise
            logger.warning("range failed", reason=reason(error))
        bounds = {f"{self.key}__lte": through}
        if after is not None:
            bounds[f"{self.key}__gt"] = after
        todos = self._remaining().filter(**bounds)
        owners = todos.order_by("user_id").values_list("user_id", flat=True).distinct()
        self._isolate(checkpoint, todos, list(owners))
        with checkpoint.step() as account:
            advance(account, through)
        return account

    def _try(self, checkpoint: Checkpoint, after: Any, through: Any) -> dict[str, Any]:
        if self._rows is None:
            self._rows = Rows.of(self._remaining(), key=self.key)
        with checkpoint.step() as account:
            account["rows"] += self.act(self._rows.between(after, through))
            advance(account, through)
        return account

    def _isolate(self, checkpoint: Checkpoint, todos: QuerySet[Any], owners: Sequence[int]) -> None:
        """Act on the todos of `owners`, halving them until whoever makes it fail stands alone.

        Args:
            checkpoint: keeps the account.
            todos: the eligible rows of one range.
            owners: ids of their users, in ascending order.
        """
        if not owners:
            return
        theirs = todos.filter(user_id__gte=owners[0], user_id__lte=owners[-1])
        try:
            with checkpoint.step() as account:
                account["rows"] += self.act(Rows.of(theirs, key=self.key))
        except DatabaseError as error:
            if not fault_of_rows(error):
                raise
            if len(owners) > 1:
                middle = len(owners) // 2
                self._isolate(checkpoint, todos, owners[:middle])
                self._isolate(checkpoint, todos, owners[middle:])
                return
            self._leave_out({"user_id": owners[0], "reason": reason(error)})
            with checkpoint.step() as account:
                account.update(errors=self.errors, failed=self.failed)

    def _leave_out(self, error: WalkError) -> None:
        logger.warning("person left out", **error)
        self.failed.append(error["user_id"])
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(error)
        self._rows = None


def default_batch_size(act: str) -> int:
    """Return the number of rows that one transaction is to pass.

    Args:
        act: what is done to them: `delete`, `move` or `restore`.
    """
    return settings.TODO_SWEEP_BATCH_SIZE or BATCH_SIZES[connection.vendor][act]


def pause() -> float:
    """Return how long to rest after a range, as a multiple of the time that it took."""
    site: float | None = settings.TODO_SWEEP_PAUSE
    return PAUSES[connection.vendor] if site is None else site


def advance(account: dict[str, Any], through: Any) -> None:
    """Write into the account that everything up to and including a key has been passed."""
    account["cursor"] = plain(through)
    first, last = account["first"], account["last"]
    if isinstance(through, datetime):
        first, last = datetime.fromisoformat(first), datetime.fromisoformat(last)
    account["done"] = 1.0 if first == last else round((through - first) / (last - first), 4)


def plain(value: Any) -> Any:
    """Return a key as JSON holds it."""
    return value.isoformat() if isinstance(value, datetime) else value
