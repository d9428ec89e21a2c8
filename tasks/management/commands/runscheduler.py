"""`manage.py runscheduler`: the process that starts background work on time."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from tasks.scheduler import run_scheduler
from tasks.schedules import SCHEDULES


class Command(BaseCommand):
    """Run the scheduler until it is told to stop."""

    help = "Sends each schedule's message when its time comes, until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--alive-file",
            type=Path,
            metavar="PATH",
            help="a file to touch every ten seconds, for a health check to look at",
        )

    def handle(self, **options: Any) -> None:
        """Run until stopped."""
        run_scheduler(SCHEDULES, alive_file=options["alive_file"])
