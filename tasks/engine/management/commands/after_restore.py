"""`manage.py after_restore`: prepares a restored database, before any process works on it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.engine.management.migrated import check_migrated
from tasks.engine.models import Process, TaskRun
from tasks.engine.operations.restored import leave_out_ids, skip_slots_since_backup
from tasks.engine.words import count


class Command(BaseCommand):
    help = (
        "Prepares a database that was restored from a backup. Run it once, as the owner of the "
        "tables, before any process starts: slots that were missed since the backup are skipped, "
        "and ids that rows had after the backup are not used again. It names the runs that "
        "continue when a worker starts."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--catch-up",
            action="store_true",
            help="leave missed slots to the scheduler, which runs the latest one of each schedule",
        )

    def handle(self, *, catch_up: bool, **_: Any) -> None:
        check_migrated()
        if alive := Process.objects.alive().count():
            raise CommandError(
                f"{count(alive, 'process', 'processes')} had a heartbeat in this database within "
                "the last minute. Stop them; if they are from the backup, try again in a minute."
            )
        tables = leave_out_ids()
        self.stdout.write(f"New rows get later ids, in {count(tables, 'table')}.")
        if not catch_up:
            self._skip()
        for run in TaskRun.objects.unfinished().order_by("pk"):
            self.stdout.write(f"Run {run.pk} of {run.task} is unfinished, and will continue.")

    def _skip(self) -> None:
        for schedule, slots in skip_slots_since_backup():
            slot = f"{slots[0]:%Y-%m-%d %H:%M} UTC"
            which = f"up to {slot}" if len(slots) > 1 else f"of {slot}"
            self.stdout.write(f"Skipped {count(len(slots), 'slot')} of {schedule}, {which}.")
