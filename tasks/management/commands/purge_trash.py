"""`manage.py purge_trash`: empties the trash of what is old; a schedule does so every night."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.actors import todo_purge
from tasks.engine.database import database_now
from tasks.engine.management.options import as_json_line, check_bounds, count
from tasks.engine.management.progress import run_with_bar
from tasks.engine.models import Trigger
from tasks.engine.runs.enqueue import Request
from tasks.management.options import find_user, named
from todos.bounds import MAX_TRASH_DAYS
from todos.clock import ClocksDisagree
from todos.services import TodoService

COMMAND = Request(Trigger.COMMAND)


class Command(BaseCommand):
    """Purge the trash."""

    help = (
        "Deletes for good what has been in the trash for longer than TODO_TRASH_DAYS, or than it "
        "said when it came, if that was more."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        add = parser.add_argument
        add("--dry-run", action="store_true", help="count what would go; touch nothing")
        add("--older-than", type=int, metavar="DAYS", help="whatever was promised")
        add("--user", metavar="NAME", help="purge this person's trash alone")
        add("--json", action="store_true", help="print one line of JSON, for machines")

    def handle(self, **options: Any) -> None:
        """Check the options, purge, print one line.

        Raises:
            CommandError: an option makes no sense, the clocks disagree, or somebody's trash could
                not be purged.
        """
        days, dry_run = options["older_than"], options["dry_run"]
        check_bounds("older-than", days, 0, MAX_TRASH_DAYS)
        user = find_user(options["user"])
        try:
            if dry_run:
                report = TodoService.preview_purge(as_of=database_now(), days=days, user=user)
            else:
                message = todo_purge.message(days=days, user_id=user.pk if user else None)
                report = run_with_bar(COMMAND, message, quiet=options["json"], done="purged")
        except ClocksDisagree as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(as_json_line(report, dry_run=dry_run))
        else:
            purged = count(report["todos_purged"], "todo")
            self.stdout.write(f"{'Would purge' if dry_run else 'Purged'} {purged} from the trash.")
        if errors := report["errors"]:
            how_many = report.get("error_count", len(errors))
            raise CommandError(f"Not purged: {named(errors, how_many)}.")
