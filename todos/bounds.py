"""The numbers and moments that the services of todos accept. Nothing else checks them.

Each check raises `OutOfBounds` for an argument that is not accepted; None always is.
"""

from datetime import datetime

from accounts.models import MAX_KEEP_COMPLETED_DAYS

MAX_TRASH_DAYS = 3_650
MAX_BATCH_SIZE = 1_000_000
#: The most todos on a person's list. Whoever has more keeps them, and adds none.
MAX_TODOS = 50_000
#: The highest number that an id can have.
MAX_ID = 2**63 - 1


class OutOfBounds(ValueError):  # noqa: N818  (it names the state, as Django's own do)
    """An argument is not accepted: `complaint` says why, in words that follow its `name`."""

    def __init__(self, name: str, complaint: str) -> None:
        super().__init__(f"{name} {complaint}")
        self.name = name
        self.complaint = complaint


def check_sweep(
    *, keep_days: int | None = None, batch_size: int | None = None, user_id: int | None = None
) -> None:
    """Check the arguments of a sweep."""
    check_number("keep_days", keep_days, 0, MAX_KEEP_COMPLETED_DAYS)
    check_number("batch_size", batch_size, 1, MAX_BATCH_SIZE)
    check_number("user_id", user_id, 1, MAX_ID)


def check_purge(
    *, days: int | None = None, user_id: int | None = None, batch_size: int | None = None
) -> None:
    """Check the arguments of a purge."""
    check_number("days", days, 0, MAX_TRASH_DAYS)
    check_number("user_id", user_id, 1, MAX_ID)
    check_number("batch_size", batch_size, 1, MAX_BATCH_SIZE)


def check_restore(
    *, run_id: int | None = None, user_id: int | None = None, since: str | None = None
) -> None:
    """Check what says which todos to restore: by a run, of a person, since an ISO 8601 moment."""
    check_number("run_id", run_id, 1, MAX_ID)
    check_number("user_id", user_id, 1, MAX_ID)
    check_moment("since", since)


def check_number(name: str, value: object, lowest: int, highest: int) -> None:
    """Check that a value is a whole number within bounds."""
    if value is None:
        return
    if type(value) is not int:
        raise OutOfBounds(name, f"must be a whole number, not {value!r}.")
    if not lowest <= value <= highest:
        raise OutOfBounds(name, f"must be from {lowest} to {highest:,}, not {value}.")


def check_moment(name: str, value: object) -> None:
    """Check that a value is a moment in ISO 8601 with a zone."""
    if value is None:
        return
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        example = "2026-11-23T02:00:00+00:00"
        raise OutOfBounds(name, f"must be a moment with a zone such as {example}, not {value!r}.")
