"""What numbers and moments the services of todos take."""

from datetime import datetime

from accounts.models import MAX_KEEP_COMPLETED_DAYS

MAX_KEEP_DAYS = MAX_KEEP_COMPLETED_DAYS
MAX_TRASH_DAYS = 3_650
MAX_BATCH_SIZE = 1_000_000
#: The highest number that an id can have.
MAX_ID = 2**63 - 1


def check_number(name: str, value: object, lowest: int, highest: int) -> None:
    """Refuse what is neither None nor a whole number within bounds.

    Raises:
        ValueError: naming it.
    """
    if value is None:
        return
    if type(value) is not int:
        raise ValueError(f"{name} must be a whole number, not {value!r}.")
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be from {lowest} to {highest:,}, not {value}.")


def check_id(name: str, value: object) -> None:
    """Refuse what is neither None nor something that an id can be.

    Raises:
        ValueError: naming it.
    """
    check_number(name, value, 1, MAX_ID)


def check_moment(name: str, value: object) -> None:
    """Refuse what is neither None nor a moment in ISO 8601 with a zone.

    Raises:
        ValueError: naming it.
    """
    if value is None:
        return
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(
            f"{name} must be a moment with a zone such as 2026-11-23T02:00:00+00:00, not {value!r}."
        )
