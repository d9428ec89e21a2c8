"""`manage.py tasks_status`: how background work is doing, for people and for monitoring."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.database import DATABASE_AWAY, statement_timeout
from tasks.engine.management.migrated import check_migrated
from tasks.engine.monitoring.problems import problems
from tasks.engine.monitoring.report import as_json, as_text
from tasks.engine.monitoring.status import Status, gather
from tasks.engine.words import printable

#: For everything, and for one statement.
DEADLINE_SECONDS = 15.0
STATEMENT_TIMEOUT_MS = 3_000


class Command(BaseCommand):
    help = (
        "Shows schedules, active runs, failures of the last day, queues and live processes. With "
        "--check, prints only what needs attention, and exits with 1 if anything does."
    )

    #: The checks of models query the database, and nothing would end that wait.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--json", action="store_true", help="print one line of JSON, for machines")
        add("--check", action="store_true", help="print only problems; exit with 1 if any")

    def handle(self, *, json: bool, check: bool, **_: Any) -> None:
        with deadline(DEADLINE_SECONDS):
            status = gather_or_refuse()
        found = [printable(problem) for problem in problems(status)]
        if json:
            self.stdout.write(as_json(status, found))
        elif check:
            self.stdout.write("\n".join(found) or "All well.")
        else:
            self.stdout.write("\n".join(as_text(status, found)))
        if check and found:
            sys.exit(1)


def gather_or_refuse() -> Status:
    """Gather the status; CommandError if the database cannot be queried."""
    try:
        with statement_timeout(STATEMENT_TIMEOUT_MS):
            return gather()
    except DATABASE_AWAY as error:
        check_migrated()
        raise CommandError(f"The database cannot be queried: {printable(str(error))}") from error


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End this process with one line and exit code 1 if the block takes too long.

    From a thread, not by an exception: nothing interrupts the wait for a frozen server, which takes
    the connection and never answers.
    """
    timer = Timer(seconds, exit_late, [seconds])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def exit_late(seconds: float) -> None:
    """End this process and blame the database: the broker's clients have timeouts of their own."""
    sys.stderr.write(f"CommandError: The database does not answer within {seconds:.0f} s.\n")
    sys.stderr.flush()
    os._exit(1)
