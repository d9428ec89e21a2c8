"""`manage.py rundramatiq`: django-dramatiq's own command, which runs workers, after checks."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django_dramatiq.management.commands import rundramatiq

from tasks.engine.alive import VARIABLE, prepare
from tasks.engine.management.migrated import check_migrated
from tasks.engine.management.options import check_bounds

#: More processes or threads than this are a typo.
MOST = 1_000

ONE_DAY_MILLISECONDS = 24 * 60 * 60 * 1000


class Command(rundramatiq.Command):  # type: ignore[misc]  # It ships no types.
    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--alive-folder",
            type=Path,
            metavar="PATH",
            help="a folder of this worker's own, where each of its processes touches a file every"
            " few seconds, for a health check",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the options and the database, then replace this process by Dramatiq."""
        check_bounds("processes", options["processes"], 1, MOST)
        check_bounds("threads", options["threads"], 1, MOST)
        shutdown = options["worker_shutdown_timeout"]
        check_bounds("worker-shutdown-timeout", shutdown, 0, ONE_DAY_MILLISECONDS)
        check_migrated()
        # The processes inherit it.
        os.environ.pop(VARIABLE, None)
        if folder := options["alive_folder"]:
            try:
                prepare(folder, options["processes"])
            except OSError as error:
                raise CommandError(f"--alive-folder {folder}: {error.strerror}.") from error
            os.environ[VARIABLE] = str(folder.resolve())
        super().handle(*args, **options)
