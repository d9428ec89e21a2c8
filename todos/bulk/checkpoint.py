"""Checkpoints: how far a bulk operation has come, who was left out, and what was locked.

A position is one of the operation's key; None stands for the beginning. The names of what
`to_json` writes are a contract with the version before and after.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NotRequired, Self, TypedDict

from todos.bounds import MAX_ID
from todos.bulk.keys import Key

#: People whom a report names. Further ones are only counted.
MOST_ERRORS = 100

#: Todos of one person that a report names.
MOST_TODO_IDS = 10

#: Todos that are left out one by one. After that, all todos of an owner are.
MOST_LEFT_ROWS = 1_000

#: Ranges to try again. After that, neighbors are merged, which only means looking at more rows.
MOST_HELD_RANGES = 100

#: People who are counted because some of their todos were locked to the end.
MOST_LOCKED_OWNERS = 10_000

#: The reason for a todo that another transaction held to the end.
LOCKED = "locked by another transaction"


class OwnerError(TypedDict):
    """A person whose todos were left out, all or some by id, and why; never a todo's text."""

    user_id: int
    reason: str
    todo_ids: NotRequired[list[int]]


class ErrorReport(TypedDict):
    """Who was left out, as plain data; with their number, if `errors` does not name them all."""

    errors: list[OwnerError]
    error_count: NotRequired[int]


@dataclass(frozen=True, kw_only=True)
class HeldRange[K]:
    """A range in which another transaction held a row: to be tried again.

    Attributes:
        user_id: whose todos alone; None for everyone's.
        tries: how often it has been tried again.
    """

    after: K | None
    through: K
    user_id: int | None = None
    tries: int = 0


@dataclass(frozen=True, kw_only=True)
class Checkpoint[K]:
    """All that a bulk operation has to know to be continued.

    Attributes:
        first: the first position when it began; None if there was no row.
        last: the last one then.
        cursor: everything through here has been passed.
        done: the share that has been passed, from 0 to 1.
        rows: how many rows have been acted on.
        errors: people with todos that were left out, as far as the report names them.
        failed: the ids of people whose todos are all left out.
        left_rows: the owners and ids of todos that were left out one by one.
        held: the ranges to try again.
        locked: the ids of people with todos that were locked to the end.
        timeouts: how many ranges ended in a time-out, or in deadlocks.
    """

    first: K | None = None
    last: K | None = None
    cursor: K | None = None
    done: float = 0.0
    rows: int = 0
    errors: tuple[OwnerError, ...] = ()
    failed: tuple[int, ...] = ()
    left_rows: tuple[tuple[int, int], ...] = ()
    held: tuple[HeldRange[K], ...] = ()
    locked: tuple[int, ...] = ()
    timeouts: int = 0

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], key: Key[K]) -> Self:
        """Read what `to_json` wrote, in this version or the one before, which kept less."""

        def position(value: Any, row_id: int = MAX_ID) -> K | None:
            # The version before kept no id beside a moment, and passed all rows that share it.
            return None if value is None else key.load(value, row_id)

        def held_range(after: Any, through: Any, user_id: int | None, tries: int) -> HeldRange[K]:
            begin = position(*after) if isinstance(after, list) else position(after)
            end = key.load(*(through if isinstance(through, list) else (through, MAX_ID)))
            return HeldRange(after=begin, through=end, user_id=user_id, tries=tries)

        return cls(
            first=position(stored.get("first"), 0),
            last=position(stored.get("last")),
            cursor=position(stored.get("cursor"), stored.get("cursor_id", MAX_ID)),
            done=stored.get("done", 0.0),
            rows=stored.get("rows", 0),
            errors=tuple(stored.get("errors", ())),
            failed=tuple(stored.get("failed", ())),
            left_rows=tuple((owner, pk) for owner, pk in stored.get("left_rows", ())),
            held=tuple(held_range(**one) for one in stored.get("held", ())),
            locked=tuple(stored.get("locked", ())),
            timeouts=stored.get("timeouts", 0),
        )

    def to_json(self, key: Key[K]) -> dict[str, Any]:
        def parts(position: K | None) -> tuple[int | str | None, int | None]:
            return (None, None) if position is None else key.dump(position)

        def in_one(position: K | None) -> object:
            value, row_id = parts(position)
            return value if row_id is None else [value, row_id]

        cursor, cursor_id = parts(self.cursor)
        return {
            "first": parts(self.first)[0],
            "last": parts(self.last)[0],
            "cursor": cursor,
            **({} if cursor_id is None else {"cursor_id": cursor_id}),
            "done": self.done,
            "rows": self.rows,
            "errors": list(self.errors),
            "failed": list(self.failed),
            "left_rows": [list(row) for row in self.left_rows],
            "held": [
                {**vars(one), "after": in_one(one.after), "through": in_one(one.through)}
                for one in self.held
            ],
            "locked": list(self.locked),
            "timeouts": self.timeouts,
        }

    @property
    def held_owners(self) -> tuple[int, ...]:
        """The people whose todos wait for the end."""
        return tuple(one.user_id for one in self.held if one.user_id is not None)

    def error_report(self) -> ErrorReport:
        """Return who was left out, for the operation's report."""
        report: ErrorReport = {"errors": list(self.errors)}
        owners = {user_id for user_id, _ in self.left_rows}
        count = len(owners.union(self.failed, self.locked))
        if count > len(self.errors):
            report["error_count"] = count
        return report

    # Each of these returns the checkpoint that follows.

    def acted_on(self, rows: int) -> Self:
        return replace(self, rows=self.rows + rows)

    def advanced(self, through: K, key: Key[K]) -> Self:
        if self.first is None or self.last is None:
            raise ValueError("There is nothing to pass.")
        done = round(key.share(self.first, self.last, through), 4)
        return replace(self, cursor=through, done=done)

    def row_left_out(self, user_id: int, pk: int, reason: str) -> Self:
        """Leave a todo out; or all of its owner's, if there would be too many."""
        if user_id in self.failed:
            return self
        if len(self.left_rows) >= MOST_LEFT_ROWS:
            return self.owner_left_out(user_id, reason)
        after = replace(self, left_rows=(*self.left_rows, (user_id, pk)))
        for number, error in enumerate(self.errors):
            if error["user_id"] == user_id:
                if "todo_ids" not in error:
                    return after
                ids = [*error["todo_ids"], pk][:MOST_TODO_IDS]
                named: OwnerError = {**error, "todo_ids": ids}
                errors = (*self.errors[:number], named, *self.errors[number + 1 :])
                return replace(after, errors=errors)
        new: OwnerError = {"user_id": user_id, "reason": reason, "todo_ids": [pk]}
        return replace(after, errors=with_error(self.errors, new))

    def owner_left_out(self, user_id: int, reason: str) -> Self:
        """Leave out all todos of a person that have not been passed."""
        others = tuple(error for error in self.errors if error["user_id"] != user_id)
        errors = with_error(others, {"user_id": user_id, "reason": reason})
        return replace(self, failed=(*self.failed, user_id), errors=errors)

    def owners_locked(self, user_ids: Iterable[int]) -> Self:
        """Name people with todos that were locked to the end."""
        known, named = set(self.locked), {error["user_id"] for error in self.errors}
        new = [user_id for user_id in user_ids if user_id not in known]
        locked = (*self.locked, *new)[:MOST_LOCKED_OWNERS]
        errors = self.errors
        for user_id in locked[len(known) :]:
            if user_id not in named:
                errors = with_error(errors, {"user_id": user_id, "reason": LOCKED})
        return replace(self, locked=locked, errors=errors)

    def range_held(self, after: K | None, through: K) -> Self:
        """Note a range to try again, which comes after all others; merge it with one it touches."""
        ranges = [one for one in self.held if one.user_id is None]
        if ranges and (ranges[-1].through == after or len(ranges) >= MOST_HELD_RANGES):
            longer = replace(ranges[-1], through=through)
            held = tuple(longer if one is ranges[-1] else one for one in self.held)
            return replace(self, held=held)
        return replace(self, held=(*self.held, HeldRange(after=after, through=through)))

    def owner_held(self, user_id: int, after: K | None) -> Self:
        """Leave a person's todos out from here on, and try them again at the end."""
        if user_id in self.held_owners:
            return self
        if len(self.held_owners) >= MOST_HELD_RANGES:
            return self.owner_left_out(user_id, LOCKED)
        if self.last is None:
            raise ValueError("There is nothing to pass.")
        theirs = HeldRange(after=after, through=self.last, user_id=user_id)
        return replace(self, held=(*self.held, theirs))

    def retried(self, held: HeldRange[K], *, again: bool) -> Self:
        """Count another try of a range; drop it unless it is to be tried `again`."""
        others = tuple(one for one in self.held if one != held)
        more = (replace(held, tries=held.tries + 1),) if again else ()
        return replace(self, held=(*others, *more))

    def timed_out(self, times: int) -> Self:
        return replace(self, timeouts=self.timeouts + times)


def with_error(errors: tuple[OwnerError, ...], error: OwnerError) -> tuple[OwnerError, ...]:
    return (*errors, error) if len(errors) < MOST_ERRORS else errors


type OnBatch[K] = Callable[[Checkpoint[K]], None]
