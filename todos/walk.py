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
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from time import monotonic, sleep
from typing import Any, ClassVar, Protocol

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Max, Min, Q, QuerySet

from todos import account as accounts
from todos.account import Errors, Held, Position, WalkError, plain
from todos.bounds import MAX_ID
from todos.faults import fault_of_rows, reason, timed_out
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

#: Time-outs after which the walk waits for nobody any more, but passes over what is held at once.
MOST_TIMEOUTS = 5

#: How often a range in which somebody held a row is tried again at the end, and how long (seconds)
#: before each time.
RETRIES = 3
RETRY_PAUSE = 2.0

#: How long (seconds) the walk goes on looking for who is held up, with nothing but time-outs. Then
#: it is everybody, and no use.
PATIENCE = 60.0


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
        account = deepcopy(self._account)
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
        errors: some of the people of whose todos any had to be left out so far.
        failed: the ids of those with whom all of theirs were.
        left_rows: the ids of todos that were left out one by one.
        locked: the ids of people of whose todos somebody held some to the end.
    """

    #: What ranges are made of: a field whose values only ever grow along the way.
    key: ClassVar[str] = "id"

    def __init__(self) -> None:
        """Prepare it."""
        self.run_id: int | None = None
        self.errors: list[WalkError] = []
        self.failed: list[int] = []
        self.left_rows: list[int] = []
        self.locked: list[int] = []
        self._error_count = 0
        self._waiting: list[int] = []
        self._timeouts = 0
        self._last: Position = None
        self._got_on = monotonic()
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

    def why(self, error: DatabaseError) -> str:
        """Return why a todo was left out, for the report: without what a person wrote."""
        return reason(error)

    def begin(self) -> dict[str, Any]:
        """Return what the account is to hold beside the walk's own, from the start."""
        return {}

    def take_up(self, account: Mapping[str, Any]) -> None:
        """Go on from what the account holds."""
        self._recall(account)

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

        Whoever's todos cannot be dealt with is left out, and the others' are. What somebody else's
        transaction holds is passed over, and tried again at the end.

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
        account = twice(partial(self._set_out, checkpoint))
        self.take_up(account)
        candidates = Rows.of(self.candidates(), key=self.key)
        after, first = self._cursor(account), self._position(account["first"], 0)
        last = self._last = self._position(account["last"], MAX_ID)
        size = batch_size or self.default_batch_size()
        ranges = checkpoint.read(
            lambda: Ranges(candidates, after=after, first=first, last=last, size=size)
        )
        while after != last:
            started, rows = monotonic(), account["rows"]
            through = checkpoint.read(partial(ranges.end_after, after))
            account = self._pass(checkpoint, after, through)
            ranges.learn(after, through, account["rows"] - rows)
            after = through
            took = monotonic() - started
            if on_batch:
                on_batch(Progress(done=account["done"], rows=account["rows"]))
            if rest := pause() * took:
                sleep(rest)
        return self._come_back(checkpoint, account)

    def error_report(self) -> Errors:
        """Return who had to be left out."""
        report: Errors = {"errors": list(self.errors)}
        if self._error_count > len(self.errors):
            report["error_count"] = self._error_count
        return report

    def _set_out(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Return the account, begun if this walk has not been at work before."""
        with checkpoint.step() as account:
            if account:
                accounts.complete(account)
            else:
                account.update(self._new_account())
        return account

    def _new_account(self) -> dict[str, Any]:
        ends = self.candidates().aggregate(first=Min(self.key), last=Max(self.key))
        return {**self.begin(), **accounts.new(**ends)}

    def _recall(self, account: Mapping[str, Any]) -> None:
        """Take from the account who is to be left out from now on."""
        waiting = [one["user_id"] for one in account["held"] if one["user_id"] is not None]
        if (account["failed"], waiting) != (self.failed, self._waiting):
            self._rows = None
        self.errors, self.failed, self._waiting = account["errors"], account["failed"], waiting
        self.left_rows = [pk for _, pk in account["left_rows"]]
        self.locked, self._timeouts = account["locked"], account["timeouts"]
        self._error_count = accounts.error_count(account)

    # Where it is.

    def _cursor(self, account: Mapping[str, Any]) -> Position:
        # The version before knew no ids beside a key that rows share, and passed all of them.
        return self._position(account["cursor"], account.get("cursor_id", MAX_ID))

    def _position(self, key: Any, pk: int) -> Position:
        field = self.candidates().model._meta.get_field(self.key)
        value = field.to_python(key)
        return value if value is None or field.primary_key else (value, pk)

    def _of_json(self, position: Any) -> Position:
        return self._position(*position) if isinstance(position, list) else position

    def _between(self, todos: QuerySet[Any], after: Position, through: Position) -> QuerySet[Any]:
        """Return the rows of a queryset after one position, up to and including another."""
        key = self.key
        if not isinstance(through, tuple):
            bounds = {f"{key}__lte": through}
            return todos.filter(**bounds if after is None else {**bounds, f"{key}__gt": after})
        value, pk = through
        todos = todos.filter(Q(**{f"{key}__lt": value}) | Q(pk__lte=pk), **{f"{key}__lte": value})
        if after is None:
            return todos
        value, pk = after
        return todos.filter(Q(**{f"{key}__gt": value}) | Q(pk__gt=pk), **{f"{key}__gte": value})

    def _remaining(self, user_id: int | None = None) -> QuerySet[Any]:
        """Return the eligible rows, without those of people left out, for now or for good.

        Args:
            user_id: this person's alone, even if they are left out for now.
        """
        out = [*self.failed, *(one for one in self._waiting if one != user_id)]
        eligible = self.eligible().exclude(user_id__in=out) if out else self.eligible()
        return eligible if user_id is None else eligible.filter(user_id=user_id)

    def _unsolved(
        self, after: Position, through: Position, user_id: int | None = None
    ) -> QuerySet[Any]:
        """Return those of a range that are not left out one by one either."""
        todos = self._between(self._remaining(user_id), after, through)
        return todos.exclude(pk__in=self.left_rows) if self.left_rows else todos

    # One range.

    def _pass(self, checkpoint: Checkpoint, after: Position, through: Position) -> dict[str, Any]:
        """Act on one range; return the account."""
        if self._timeouts >= MOST_TIMEOUTS:
            return self._pass_over(checkpoint, after, through)
        try:
            return twice(partial(self._whole, checkpoint, after, through))
        except DatabaseError as error:
            log_or_raise(error, "range failed")
            if timed_out(error):
                return self._pass_over(checkpoint, after, through, timeouts=1)
        return self._one_by_one(checkpoint, after, through)

    def _whole(self, checkpoint: Checkpoint, after: Position, through: Position) -> dict[str, Any]:
        if self._rows is None:
            self._rows = Rows.of(self._remaining(), key=self.key)
        with checkpoint.step() as account:
            account["rows"] += self.act(self._rows.between(after, through))
            accounts.advance(account, through)
        return account

    def _pass_over(
        self, checkpoint: Checkpoint, after: Position, through: Position, *, timeouts: int = 0
    ) -> dict[str, Any]:
        """Act on what nobody holds of a range, and note it if that was not all.

        Args:
            checkpoint: keeps the account.
            after: where the range begins.
            through: where it ends.
            timeouts: how many led here.
        """

        def act_and_note() -> dict[str, Any]:
            with checkpoint.step() as account:
                todos = Rows.of(self._unsolved(after, through), key=self.key)
                account["rows"] += self.act(todos.unlocked())
                self._end_range(account, after, through, timeouts=timeouts)
            self._recall(account)
            return account

        try:
            return twice(act_and_note)
        except DatabaseError as error:
            log_or_raise(error, "range failed without what is locked")
        return self._one_by_one(checkpoint, after, through, timeouts=timeouts)

    def _one_by_one(
        self, checkpoint: Checkpoint, after: Position, through: Position, *, timeouts: int = 0
    ) -> dict[str, Any]:
        """Act on the todos of one range, without those that make it fail."""
        self._isolate(checkpoint, after, through)

        def note() -> dict[str, Any]:
            with checkpoint.step() as account:
                self._end_range(account, after, through, timeouts=timeouts)
            self._recall(account)
            return account

        return twice(note)

    def _end_range(
        self, account: dict[str, Any], after: Position, through: Position, *, timeouts: int
    ) -> None:
        """Note that a range has been passed, and whether to come back to it."""
        if self._unsolved(after, through).exists():
            accounts.hold(account, plain(after), plain(through))
        account["timeouts"] += timeouts
        accounts.advance(account, through)

    # Who makes it fail.

    def _isolate(
        self,
        checkpoint: Checkpoint,
        after: Position,
        through: Position,
        *,
        user_id: int | None = None,
    ) -> None:
        """Act on the todos of a range that nobody holds, leaving out those that make it fail.

        Args:
            checkpoint: keeps the account.
            after: where the range begins.
            through: where it ends.
            user_id: this person's alone.
        """

        def todos() -> QuerySet[Any]:
            return self._unsolved(after, through, user_id)

        def owners() -> list[int]:
            found = todos().order_by("user_id").values_list("user_id", flat=True).distinct()
            return list(found)

        def leave_out(owner: int, error: DatabaseError) -> None:
            if timed_out(error):
                self._hold_person(checkpoint, owner, after)
                return
            theirs = todos().filter(user_id=owner).order_by("pk").values_list("pk", flat=True)
            self._halve(
                checkpoint,
                lambda pks: todos().filter(user_id=owner, pk__gte=pks[0], pk__lte=pks[-1]),
                checkpoint.read(lambda: list(theirs)),
                lambda pk, error: self._leave_out(checkpoint, owner, pk, error),
            )

        self._got_on = monotonic()
        self._halve(
            checkpoint,
            lambda people: todos().filter(user_id__gte=people[0], user_id__lte=people[-1]),
            checkpoint.read(owners),
            leave_out,
        )

    def _halve(
        self,
        checkpoint: Checkpoint,
        todos_of: Callable[[Sequence[int]], QuerySet[Any]],
        ids: Sequence[int],
        leave_out: Callable[[int, DatabaseError], None],
    ) -> None:
        """Act on the todos of `ids`, halving them until whoever makes it fail stands alone.

        Args:
            checkpoint: keeps the account.
            todos_of: returns the todos from the first to the last of some ids.
            ids: of people, or of todos, in ascending order.
            leave_out: called with each that makes it fail.
        """
        if not ids:
            return

        def act() -> None:
            with checkpoint.step() as account:
                rows = Rows.of(todos_of(ids), key=self.key)
                account["rows"] += self.act(rows.unlocked())

        try:
            twice(act)
        except DatabaseError as error:
            log_or_raise(error, "part of a range failed", ids=len(ids))
            if timed_out(error) and monotonic() - self._got_on > PATIENCE:
                raise
            if len(ids) == 1:
                leave_out(ids[0], error)
                return
            middle = len(ids) // 2
            for half in (ids[:middle], ids[middle:]):
                self._halve(checkpoint, todos_of, half, leave_out)
        else:
            self._got_on = monotonic()

    def _leave_out(
        self, checkpoint: Checkpoint, user_id: int, pk: int, error: DatabaseError
    ) -> None:
        """Note that a todo makes it fail, or is held alone."""
        if timed_out(error):
            self._hold_person(checkpoint, user_id, None)
            return
        why = self.why(error)
        logger.warning("todo left out", user_id=user_id, todo_id=pk, reason=why)

        def note() -> None:
            with checkpoint.step() as account:
                if user_id not in account["failed"]:
                    accounts.blame_row(account, user_id, pk, why)
            self._recall(account)

        twice(note)

    def _hold_person(self, checkpoint: Checkpoint, user_id: int, after: Position) -> None:
        """Leave a person out until the end."""

        def note() -> None:
            with checkpoint.step() as account:
                if user_id not in [one["user_id"] for one in account["held"]]:
                    accounts.hold_person(account, plain(after), plain(self._last), user_id)
            self._recall(account)

        twice(note)

    # What was passed over.

    def _come_back(self, checkpoint: Checkpoint, account: dict[str, Any]) -> dict[str, Any]:
        """Try again what somebody held, some times; then name whose it is. Return the account."""
        tries = -1
        while account["held"]:
            one: Held = account["held"][0]
            if one["tries"] != tries:
                tries = one["tries"]
                sleep(RETRY_PAUSE)
            account = self._try_again(checkpoint, one)
        return account

    def _try_again(self, checkpoint: Checkpoint, one: Held) -> dict[str, Any]:
        """Act on what nobody holds by now of a range; return the account."""

        def act_and_note(*, act: bool) -> dict[str, Any]:
            with checkpoint.step() as account:
                if act:
                    rows = Rows.of(self._of_held(one), key=self.key)
                    account["rows"] += self.act(rows.unlocked())
                self._note_retry(account, one)
            self._recall(account)
            return account

        try:
            return twice(partial(act_and_note, act=True))
        except DatabaseError as error:
            log_or_raise(error, "what was held failed again")
            if not timed_out(error):
                after, through = self._of_json(one["after"]), self._of_json(one["through"])
                self._isolate(checkpoint, after, through, user_id=one["user_id"])
        return twice(partial(act_and_note, act=False))

    def _note_retry(self, account: dict[str, Any], one: Held) -> None:
        """Note that a range has been tried again: to do so once more, or else whose it is."""
        account["held"] = [other for other in account["held"] if other != one]
        left = self._of_held(one)
        if one["tries"] + 1 < RETRIES:
            if left.exists():
                account["held"].append({**one, "tries": one["tries"] + 1})
            return
        people = left.order_by("user_id").values_list("user_id", flat=True).distinct()
        for user_id in people[: accounts.MOST_LOCKED]:
            logger.warning("person's todos held to the end", user_id=user_id)
            accounts.blame_lock(account, user_id)

    def _of_held(self, one: Held) -> QuerySet[Any]:
        """Return what is left of a range that was held."""
        after, through = self._of_json(one["after"]), self._of_json(one["through"])
        return self._unsolved(after, through, one["user_id"])


def twice[R](do: Callable[[], R]) -> R:
    """Do something, and again if the database fails: whatever it was may be over.

    A deadlock is, by then; a lost connection, if the step waits for the database. Where a time-out
    ended it, it has waited long enough, and the second time is left out.

    Raises:
        DatabaseError: the second time as well.
    """
    try:
        return do()
    except DatabaseError as error:
        if timed_out(error):
            raise
        logger.warning("tried again", reason=reason(error))
    return do()


def log_or_raise(error: DatabaseError, event: str, **values: int) -> None:
    """Log an error that leaving out some rows may help against; raise any other."""
    if not (fault_of_rows(error) or timed_out(error)):
        raise error
    logger.warning(event, reason=reason(error), **values)


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
