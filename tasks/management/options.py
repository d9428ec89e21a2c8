"""What commands share: options that are checked before anything is touched, and words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError

from accounts.models import User
from todos.bounds import OutOfBounds
from todos.bulk.checkpoint import OwnerError

#: People named on the terminal; how many there are beyond is said.
MOST_NAMED = 5


def check_bounds(option: str, value: int | None, lowest: int, highest: int) -> None:
    """Refuse a number out of bounds.

    Raises:
        CommandError: naming the option.
    """
    if value is not None and not lowest <= value <= highest:
        raise CommandError(f"--{option} must be from {lowest} to {highest:,}, not {value}.")


@contextmanager
def naming_options(**options: str) -> Iterator[None]:
    """Check arguments of a service; where one is not accepted, name the option instead.

    Args:
        options: the names of those options that are not called like the argument.

    Raises:
        CommandError: naming the option.
    """
    try:
        yield
    except OutOfBounds as error:
        option = options.get(error.name, error.name.replace("_", "-"))
        raise CommandError(f"--{option} {error.complaint}") from error


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


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: `1 person`, `2,000 people`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def as_json_line(report: Mapping[str, Any], *, dry_run: bool) -> str:
    """Return a report for machines; one of what would be done says so itself."""
    return json.dumps({**report, "dry_run": True} if dry_run else report)


def named(errors: Sequence[OwnerError], how_many: int) -> str:
    """Return who could not be dealt with, and why, in one line.

    Args:
        errors: some of them.
        how_many: there are in all.
    """
    some = errors[:MOST_NAMED]
    line = ", ".join(f"user {error['user_id']}: {why(error)}" for error in some)
    more = how_many - len(some)
    return f"{line}, and {more:,} more" if more else line


def why(error: OwnerError) -> str:
    """Return the reason, and the todos that it holds of if they are not all of that person's."""
    ids = ", ".join(f"{pk}" for pk in error.get("todo_ids", []))
    return f"{error['reason']} (todo {ids})" if ids else error["reason"]
