"""What a walk writes down of itself: how far it has come, who had to be left out, who is held up.

It is plain data, kept with the run as JSON. A version that does not know a name goes on without.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict

#: People named in a report; how many there are beyond is counted.
MOST_ERRORS = 100

#: Todos of one person that are named.
MOST_IDS = 10

#: Todos that are left out one by one; beyond, whoever has another is left out with all of theirs.
MOST_ROWS = 1_000

#: Ranges to come back to. Beyond, neighbours are put together: only more rows are looked at then.
MOST_HELD = 100

#: People held up who are counted.
MOST_LOCKED = 10_000

#: Why a todo stays that somebody else's transaction held to the end.
LOCKED = "locked by another transaction"


class WalkError(TypedDict):
    """A person whose todos had to be left out, and why. Never holds a todo's text.

    `todo_ids` are some of those todos; where there are none, it is all of them.
    """

    user_id: int
    reason: str
    todo_ids: NotRequired[list[int]]


class Errors(TypedDict):
    """Who had to be left out, as plain data.

    `error_count` is there when `errors` does not name them all.
    """

    errors: list[WalkError]
    error_count: NotRequired[int]


class Held(TypedDict):
    """A range in which somebody held a row: to be tried again.

    Attributes:
        after: the key that it begins after, as JSON holds it; None for the beginning.
        through: the last key.
        user_id: whose todos alone; None for everyone's.
        tries: how often it has been tried again.
    """

    after: Any
    through: Any
    user_id: int | None
    tries: int


type Position = Any
"""Where a walk is: a key, or a key that several rows may share with the id of one of them."""


def new(first: Any, last: Any) -> dict[str, Any]:
    """Return the account of a walk that has not set out.

    Args:
        first: the first key there is; None if there is none.
        last: the last one.
    """
    return {
        "first": plain(first),
        "last": plain(last),
        "cursor": None,
        "done": 0.0,
        "rows": 0,
        "errors": [],
        "failed": [],
        "left_rows": [],
        "held": [],
        "locked": [],
        "timeouts": 0,
    }


def complete(account: dict[str, Any]) -> None:
    """Add what the account of an earlier version lacks."""
    for name, value in new(None, None).items():
        account.setdefault(name, value)


def advance(account: dict[str, Any], through: Position) -> None:
    """Note that everything up to and including a position has been passed."""
    key, *tie = through if isinstance(through, tuple) else (through,)
    account["cursor"] = plain(key)
    if tie:
        account["cursor_id"] = tie[0]
    first, last = account["first"], account["last"]
    if isinstance(key, datetime):
        first, last = datetime.fromisoformat(first), datetime.fromisoformat(last)
    account["done"] = 1.0 if first == last else round((key - first) / (last - first), 4)


def plain(value: Any) -> Any:
    """Return a position as JSON holds it."""
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return value.isoformat() if isinstance(value, datetime) else value


def blame_row(account: dict[str, Any], user_id: int, pk: int, reason: str) -> None:
    """Note that a todo has to be left out, or with it all of that person's."""
    if len(account["left_rows"]) >= MOST_ROWS:
        blame_person(account, user_id, reason)
        return
    account["left_rows"].append([user_id, pk])
    for error in account["errors"]:
        if error["user_id"] == user_id:
            if "todo_ids" in error:
                error["todo_ids"] = [*error["todo_ids"], pk][:MOST_IDS]
            return
    name(account, {"user_id": user_id, "reason": reason, "todo_ids": [pk]})


def blame_person(account: dict[str, Any], user_id: int, reason: str) -> None:
    """Note that a person's todos have to be left out, all that are still to come."""
    account["failed"].append(user_id)
    account["errors"] = [one for one in account["errors"] if one["user_id"] != user_id]
    name(account, {"user_id": user_id, "reason": reason})


def blame_lock(account: dict[str, Any], user_id: int) -> None:
    """Note that somebody held todos of a person's to the end."""
    if user_id not in account["locked"] and len(account["locked"]) < MOST_LOCKED:
        account["locked"].append(user_id)
        if all(error["user_id"] != user_id for error in account["errors"]):
            name(account, {"user_id": user_id, "reason": LOCKED})


def name(account: dict[str, Any], error: WalkError) -> None:
    """Put a person among the errors, if there is room."""
    if len(account["errors"]) < MOST_ERRORS:
        account["errors"].append(error)


def error_count(account: Mapping[str, Any]) -> int:
    """Count the people of whom anything had to be left out."""
    owners = {user_id for user_id, _ in account["left_rows"]}
    return len(owners.union(account["failed"], account["locked"]))


def hold(account: dict[str, Any], after: Any, through: Any) -> None:
    """Note a range to come back to, together with the one before if they touch.

    Args:
        account: where to.
        after: as JSON holds it.
        through: as JSON holds it; it comes after all that was noted before.
    """
    ranges = [one for one in account["held"] if one["user_id"] is None]
    if ranges and (ranges[-1]["through"] == after or len(ranges) >= MOST_HELD):
        ranges[-1]["through"] = through
    else:
        account["held"].append({"after": after, "through": through, "user_id": None, "tries": 0})


def hold_person(account: dict[str, Any], after: Any, through: Any, user_id: int) -> None:
    """Note a person to come back to, whose todos are left out until then."""
    waiting = [one for one in account["held"] if one["user_id"] is not None]
    if len(waiting) >= MOST_HELD:
        blame_person(account, user_id, LOCKED)
    else:
        account["held"].append({"after": after, "through": through, "user_id": user_id, "tries": 0})
