"""`manage.py ping`: asks through the broker whether a worker answers."""

from argparse import ArgumentParser
from contextlib import suppress
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from dramatiq.results import ResultFailure, ResultTimeout
from redis.exceptions import RedisError

from tasks.engine.actors import Pong, ping
from tasks.engine.monitoring.pauses import pause_of

#: One request for a result waits this long at most: less than the result client's socket time-out.
LONGEST_REQUEST_SECONDS = 10


class Command(BaseCommand):
    help = "Sends a ping through the broker; fails unless a worker answers in time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--wait",
            type=int,
            default=10,
            metavar="SECONDS",
            help="how long to wait for an answer (%(default)s)",
        )

    def handle(self, *, wait: int, **_: Any) -> None:
        if wait < 1:
            raise CommandError("--wait must be 1 second or more.")
        started = monotonic()
        try:
            pong = answer(seconds=wait)
        except ResultFailure as error:
            raise CommandError(f"ping failed: {error}") from error
        except RedisError as error:
            raise CommandError(f"The broker cannot be reached: {error}") from error
        milliseconds = (monotonic() - started) * 1000
        self.stdout.write(
            f"pong from {pong['host']} (process {pong['pid']}) after {milliseconds:.0f} ms"
        )


def why_not(queue: str) -> str:
    """Return what to add to a complaint about a queue that is paused; empty if it is not."""
    with suppress(DatabaseError):  # The ping needs none.
        return f" {pause_of(queue)}".rstrip()
    return ""


def answer(*, seconds: int) -> Pong:
    """Send a ping and return the answer; CommandError if none comes in time."""
    message = ping.send()
    deadline = monotonic() + seconds
    while True:
        request_seconds = max(1, min(LONGEST_REQUEST_SECONDS, round(deadline - monotonic())))
        try:
            return message.get_result(block=True, timeout=request_seconds * 1000)
        except ResultTimeout as error:
            if monotonic() >= deadline:
                raise CommandError(
                    f"No worker has finished ping within {seconds} s; the message stays in the"
                    f" queue ({message.message_id}).{why_not(ping.queue_name)}"
                ) from error
