"""`manage.py ping`: asks through the broker whether a worker is there."""

from argparse import ArgumentParser
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.actors import ping
from tasks.engine.management.messages import send, wait


class Command(BaseCommand):
    """Send a ping and say who answers."""

    help = "Sends a ping through the broker; fails unless a worker answers in time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--wait",
            type=int,
            default=10,
            metavar="SECONDS",
            help="how long to wait for an answer (10)",
        )

    def handle(self, **options: Any) -> None:
        """Send, wait, print one line."""
        if options["wait"] < 1:
            raise CommandError("--wait must be 1 second or more.")
        started = monotonic()
        pong = wait(send(ping), seconds=options["wait"])
        milliseconds = (monotonic() - started) * 1000
        self.stdout.write(
            f"pong from {pong['host']} (process {pong['pid']}) after {milliseconds:.0f} ms"
        )
