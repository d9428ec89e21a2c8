"""`manage.py restore_todos`: undoes a cleanup, for everyone or for one person."""

from argparse import ArgumentParser
from datetime import UTC, datetime, time
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from tasks.actors import todo_restore
from tasks.engine.management.progress import run_with_bar
from tasks.engine.words import count
from tasks.management.options import BulkCommand, find_user, named
from tasks.undo import NotRestorable, todos_removed_by
from todos.models import TrashedTodo
from todos.services import TodoService


class Command(BulkCommand):
    help = (
        "Restores todos from the trash: all that a cleanup removed (--run), a person's todos from "
        "the last cleanup that removed any (--user), or all that left a person's list since a "
        "date (--user with --since). Exits with 1 when some could not be restored."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--run", type=int, metavar="ID", help="undo this run of the cleanup")
        add("--since", metavar="DATE", help="with --user: what left their list since then")

    def handle(self, **options: Any) -> None:
        arguments = arguments_of(options)
        try:
            todos = todos_removed_by(**arguments)  # Refused before a run is recorded.
            if options["dry_run"]:
                report = TodoService.preview_restore(todos=todos)
            else:
                message = todo_restore.message(**arguments)
                report = run_with_bar(message, quiet=options["json"], done="restored")
        except NotRestorable as error:
            raise CommandError(str(error)) from error
        verb = "Would restore" if options["dry_run"] else "Restored"
        self.print_report(report, f"{verb} {count(report['todos_restored'], 'todo')}.", options)
        if report["todos_left"]:
            why = named(report["errors"], len(report["errors"]))
            raise CommandError(f"Not restored: {count(report['todos_left'], 'todo')} ({why}).")


def arguments_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the actor.

    Raises:
        CommandError: the options make no sense together.
    """
    run_id, since = options["run"], options["since"]
    user = find_user(options["user"])
    if since is not None and user is None:
        raise CommandError("--since needs --user.")
    if run_id is None and user is None:
        raise CommandError("Say what to restore: --run ID, or --user NAME with or without --since.")
    if run_id is None and since is None:
        run_id = TrashedTodo.objects.filter(user=user).last_run()
        if run_id is None:
            raise CommandError("The trash has no todos of this person from a cleanup.")
    return {
        "run_id": run_id,
        "user_id": user and user.pk,
        "since": None if since is None else moment(since).isoformat(),
    }


def moment(text: str) -> datetime:
    """Return the moment that a date, with a time or without, names in the site's zone."""
    try:
        day = parse_date(text)
        found = datetime.combine(day, time()) if day else parse_datetime(text)
        if found and timezone.is_naive(found):
            found = timezone.make_aware(found)
        if found:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):  # At the ends of time, an hour may be in no year.
        pass
    raise CommandError(f"--since must be a date such as 2026-11-23, not {text!r}.")
