"""`manage.py pause_queue`: pauses a queue or resumes it, for when the site is down."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.management.migrated import check_migrated
from tasks.engine.operations import queues
from tasks.engine.operations.errors import Refused


class Command(BaseCommand):
    help = (
        "Pauses a queue: workers begin nothing of it until it is resumed, and finish what is "
        "running. Exits with 1 if that changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", metavar="NAME", help="the queue's name")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--note", metavar="TEXT", help="why, for those who find it paused")
        what.add_argument("--resume", action="store_true", help="resume it")

    def handle(self, *, queue: str, note: str | None, resume: bool, **_: Any) -> None:
        check_migrated()
        try:
            if resume:
                queues.resume(queue)
            else:
                queues.pause(queue, note=note or "")
        except Refused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The queue {queue} is {'resumed' if resume else 'paused'}.")
