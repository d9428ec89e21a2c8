"""`manage.py ping`: asks through the broker whether a worker answers."""

from argparse import ArgumentParser
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.actors import ping
from tasks.engine.management.messages import send, wait


class Command(BaseCommand):
    """Ping the workers."""

    help = "Sends a ping through the broker; fails unless a worker answers in time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--wait",
            type=int,
            default=10,
            metavar="SECONDS",
            help="how long to wait for an answer (10)",
        )

    def handle(self, **options: Any) -> None:
        """Send a ping, and print which worker answered and how fast.

        Raises:
            CommandError: the broker cannot be reached, or no worker answers in time.
        """
        if options["wait"] < 1:
            raise CommandError("--wait must be 1 second or more.")
        started = monotonic()
        pong = wait(send(ping), seconds=options["wait"])
        milliseconds = (monotonic() - started) * 1000
        self.stdout.write(
            f"pong from {pong['host']} (process {pong['pid']}) after {milliseconds:.0f} ms"
        )
