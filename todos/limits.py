"""How much a person may do in a minute, by whichever door."""

from accounts.limits import seconds_to_wait
from accounts.models import User

#: Todos that a person may add in a minute: more than anybody types.
ADDS_A_MINUTE = 120


def seconds_until_add(user: User) -> int:
    """Count one more todo that a person adds; return 0, or how long they have to wait first."""
    return seconds_to_wait(f"adds:{user.pk}", a_minute=ADDS_A_MINUTE)
