"""`manage.py runscheduler`: the process that starts each schedule's task on time."""

from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from redis.exceptions import RedisError

from tasks.engine.database import DATABASE_AWAY
from tasks.engine.management.migrated import check_migrated
from tasks.engine.outages import outages
from tasks.engine.scheduler.process import Scheduler


class Command(BaseCommand):
    help = (
        "Starts each schedule's task when its time comes, until SIGTERM or Ctrl-C. Any number of "
        "schedulers may run at once."
    )

    #: The checks of models query the database. While it is away, a scheduler must start all the
    #: same: it is the one that tells people.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--alive-file",
            type=Path,
            metavar="PATH",
            help="a file to touch every few seconds, for a health check",
        )
        parser.add_argument(
            "--once",
            action="store_true",
            help="start what is due and exit, for a cron that calls this every minute",
        )

    def handle(self, *, alive_file: Path | None, once: bool, **_: Any) -> None:
        with suppress(*DATABASE_AWAY):
            self.check()
        check_migrated()
        try:
            scheduler = Scheduler(alive_file=alive_file)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if not once:
            scheduler.run()
            return
        try:
            scheduler.run_once()
        except RedisError as error:
            raise CommandError(f"The broker cannot be reached: {error}") from error
        if outages.is_away("broker"):
            raise CommandError("The broker cannot be reached; what is due is published later.")
