"""What Tidy's commands share: options, the report they print, and errors in one line."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from todos.bounds import OutOfBounds
from todos.bulk.checkpoint import OwnerError

#: People whom an error names; the others are counted.
MAX_NAMED = 5


class BulkCommand(BaseCommand):
    """A command that works on many todos: `--dry-run`, `--user`, `--json`."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--dry-run", action="store_true", help="count the todos; change nothing")
        add("--user", metavar="NAME", help="this person's todos alone")
        add("--json", action="store_true", help="print one line of JSON, for machines")

    def print_report(self, report: Mapping[str, Any], text: str, options: dict[str, Any]) -> None:
        """Print a report, as JSON if asked for, otherwise as this text."""
        marked = {**report, "dry_run": True} if options["dry_run"] else report
        self.stdout.write(json.dumps(marked) if options["json"] else text)


@contextmanager
def naming_options(**options: str) -> Iterator[None]:
    """Check arguments of a service; if one is not accepted, name the option instead.

    Args:
        options: the names of those options that differ from the argument's.

    Raises:
        CommandError: naming the option.
    """
    try:
        yield
    except OutOfBounds as error:
        option = options.get(error.name, error.name.replace("_", "-"))
        raise CommandError(f"--{option} {error.complaint}") from error


def find_user(name: str | None) -> User | None:
    """Return the user of that name, None for no name; CommandError if there is no such user."""
    if name is None:
        return None
    try:
        return User.objects.get(username=name)
    except (User.DoesNotExist, UnicodeEncodeError) as error:
        raise CommandError(f"There is no user called {name!r}.") from error


def named(errors: Sequence[OwnerError], total: int) -> str:
    """Return in one line for whom a command failed, and why: some of `total` people."""
    some = errors[:MAX_NAMED]
    line = ", ".join(f"user {error['user_id']}: {why(error)}" for error in some)
    more = total - len(some)
    return f"{line}, and {more:,} more" if more else line


def why(error: OwnerError) -> str:
    """Return the reason, with the ids of the todos if not all of that person's were left."""
    ids = ", ".join(f"{pk}" for pk in error.get("todo_ids", []))
    return f"{error['reason']} (todo {ids})" if ids else error["reason"]
