"""The numbers and moments that the services of todos accept. Nothing else checks them."""

from datetime import datetime

from accounts.models import MAX_KEEP_COMPLETED_DAYS

MAX_KEEP_DAYS = MAX_KEEP_COMPLETED_DAYS
MAX_TRASH_DAYS = 3_650
MAX_BATCH_SIZE = 1_000_000
#: The highest number that an id can have.
MAX_ID = 2**63 - 1


class OutOfBounds(ValueError):  # noqa: N818  (it names the state, as Django's own do)
    """An argument is not accepted; the text says which, and why.

    Attributes:
        name: of the argument.
        complaint: why, to follow the name.
    """

    def __init__(self, name: str, complaint: str) -> None:
        """Complain about the argument of this name."""
        super().__init__(f"{name} {complaint}")
        self.name = name
        self.complaint = complaint


def check_sweep(
    *, keep_days: int | None = None, batch_size: int | None = None, user_id: int | None = None
) -> None:
    """Check the arguments of a sweep.

    Raises:
        OutOfBounds: one is not accepted.
    """
    check_number("keep_days", keep_days, 0, MAX_KEEP_DAYS)
    check_number("batch_size", batch_size, 1, MAX_BATCH_SIZE)
    check_number("user_id", user_id, 1, MAX_ID)


def check_purge(
    *, days: int | None = None, user_id: int | None = None, batch_size: int | None = None
) -> None:
    """Check the arguments of a purge.

    Raises:
        OutOfBounds: one is not accepted.
    """
    check_number("days", days, 0, MAX_TRASH_DAYS)
    check_number("user_id", user_id, 1, MAX_ID)
    check_number("batch_size", batch_size, 1, MAX_BATCH_SIZE)


def check_restore(
    *, run_id: int | None = None, user_id: int | None = None, since: str | None = None
) -> None:
    """Check what says which todos to restore.

    Args:
        run_id: a cleanup.
        user_id: a person.
        since: a moment in ISO 8601 with a zone.

    Raises:
        OutOfBounds: one of them can mean nothing.
    """
    check_number("run_id", run_id, 1, MAX_ID)
    check_number("user_id", user_id, 1, MAX_ID)
    check_moment("since", since)


def check_number(name: str, value: object, lowest: int, highest: int) -> None:
    """Check that a value is None, or a whole number within bounds.

    Raises:
        OutOfBounds: it is not.
    """
    if value is None:
        return
    if type(value) is not int:
        raise OutOfBounds(name, f"must be a whole number, not {value!r}.")
    if not lowest <= value <= highest:
        raise OutOfBounds(name, f"must be from {lowest} to {highest:,}, not {value}.")


def check_moment(name: str, value: object) -> None:
    """Check that a value is None, or a moment in ISO 8601 with a zone.

    Raises:
        OutOfBounds: it is not.
    """
    if value is None:
        return
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise OutOfBounds(
            name,
            f"must be a moment with a zone such as 2026-11-23T02:00:00+00:00, not {value!r}.",
        )
