"""`manage.py prune_runs`: deletes runs that ended long ago, as a schedule does every night."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.management.progress import STOPPED
from tasks.engine.operations.pruning import KEEP_DAYS, prune_runs
from tasks.engine.words import count


class Command(BaseCommand):
    help = (
        "Deletes runs that ended long ago, and runs of the ping that ended more than a day ago. "
        "Unfinished runs stay."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--dry-run", action="store_true", help="count them; delete nothing")
        add(
            "--older-than",
            type=int,
            default=KEEP_DAYS,
            metavar="DAYS",
            help="how long ago a run must have ended to be deleted (%(default)s)",
        )

    def handle(self, *, older_than: int, dry_run: bool, **_: Any) -> None:
        try:
            report = prune_runs(keep_days=older_than, dry_run=dry_run)
        except ValueError as error:
            raise CommandError(f"--older-than: {error}.") from error
        except KeyboardInterrupt as error:
            text = "Stopped. The same command continues with the rest."
            raise CommandError(text, returncode=STOPPED) from error
        verb = "Would prune" if dry_run else "Pruned"
        self.stdout.write(f"{verb} {count(report['runs_deleted'], 'run')}.")
