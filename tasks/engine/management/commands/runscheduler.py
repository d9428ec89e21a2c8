"""`manage.py runscheduler`: the process that starts background work on time."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from redis.exceptions import RedisError

from tasks.engine.management.migrated import check_migrated
from tasks.engine.outages import outages
from tasks.engine.scheduler.process import Scheduler


class Command(BaseCommand):
    """Run the scheduler until it is told to stop."""

    help = (
        "Starts each schedule's task when its time comes, until SIGTERM or Ctrl-C. Any number of "
        "them may run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--alive-file",
            type=Path,
            metavar="PATH",
            help="a file to touch every few seconds, for a health check to look at",
        )
        parser.add_argument(
            "--once",
            action="store_true",
            help="start what is due and leave, for a cron that calls this every minute",
        )

    def handle(self, **options: Any) -> None:
        """Run until stopped, or once."""
        check_migrated()
        scheduler = Scheduler(alive_file=options["alive_file"])
        if not options["once"]:
            scheduler.run()
            return
        try:
            scheduler.run_once()
        except RedisError as error:
            raise CommandError(f"The broker cannot be reached: {error}") from error
        if outages.is_away("broker"):
            raise CommandError("The broker cannot be reached; what is due goes out later.")
