"""What Tidy's commands share: the option `--user`, and errors on one line."""

from collections.abc import Sequence

from django.core.management.base import CommandError

from accounts.models import User
from todos.account import WalkError

#: People named on the terminal; how many there are beyond is said.
MOST_NAMED = 5


def find_user(name: str | None) -> User | None:
    """Return the user of that name; None for no name.

    Raises:
        CommandError: there is no such user.
    """
    if name is None:
        return None
    try:
        return User.objects.get(username=name)
    except (User.DoesNotExist, UnicodeEncodeError) as error:
        raise CommandError(f"There is no user called {name!r}.") from error


def named(errors: Sequence[WalkError], how_many: int) -> str:
    """Return who could not be dealt with, and why, in one line.

    Args:
        errors: some of them.
        how_many: there are in all.
    """
    some = errors[:MOST_NAMED]
    line = ", ".join(f"user {error['user_id']}: {why(error)}" for error in some)
    more = how_many - len(some)
    return f"{line}, and {more:,} more" if more else line


def why(error: WalkError) -> str:
    """Return the reason, and the todos that it holds of if they are not all of that person's."""
    ids = ", ".join(f"{pk}" for pk in error.get("todo_ids", []))
    return f"{error['reason']} (todo {ids})" if ids else error["reason"]
