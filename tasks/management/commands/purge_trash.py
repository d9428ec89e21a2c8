"""`manage.py purge_trash`: empties the trash of what is old; a schedule does so every night."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from tasks.actors import todo_purge
from tasks.engine.database import database_now
from tasks.engine.management.progress import run_with_bar
from tasks.engine.words import count
from tasks.management.options import BulkCommand, find_user, named, naming_options
from todos.bounds import check_purge
from todos.clock import ClocksDisagree
from todos.services import TodoService


class Command(BulkCommand):
    help = (
        "Deletes for good what has been in the trash for longer than TODO_TRASH_DAYS, or than was "
        "promised when it was moved there, if that was more."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--older-than", type=int, metavar="DAYS", help="instead of what was promised"
        )

    def handle(self, **options: Any) -> None:
        days, dry_run = options["older_than"], options["dry_run"]
        with naming_options(days="older-than"):
            check_purge(days=days)
        user = find_user(options["user"])
        try:
            if dry_run:
                report = TodoService.preview_purge(as_of=database_now(), days=days, user=user)
            else:
                message = todo_purge.message(days=days, user_id=user.pk if user else None)
                report = run_with_bar(message, quiet=options["json"], done="purged")
        except ClocksDisagree as error:
            raise CommandError(str(error)) from error
        verb = "Would purge" if dry_run else "Purged"
        todos = count(report["todos_purged"], "todo")
        self.print_report(report, f"{verb} {todos} from the trash.", options)
        if errors := report["errors"]:
            total = report.get("error_count", len(errors))
            raise CommandError(f"Not purged: {named(errors, total)}.")
