"""`manage.py rundramatiq`: django-dramatiq's own command, which runs workers, after checks."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import CommandError, OutputWrapper
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
        # What follows says which modules it has found: a program's output, beside the log.
        self.stdout = OutputWrapper(StringIO())
        with becoming_our_workers():
            super().handle(*args, **options)


@contextmanager
def becoming_our_workers() -> Iterator[None]:
    """Have a process that becomes the program `dramatiq` become ours, whose master logs as we do.

    django-dramatiq has no setting for the program.
    """

    def become(_program: str, arguments: Sequence[str]) -> NoReturn:
        command = [sys.executable, "-m", "project.workers", *arguments[1:]]
        os.execv(sys.executable, command)  # noqa: S606  (no shell is wanted)

    before, os.execvp = os.execvp, become  # type: ignore[assignment]
    try:
        yield
    finally:
        os.execvp = before
