"""`manage.py dev`: all of Tidy on one machine, for development and for a first look."""

import os
import signal
import sys
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from project.dev.address import check_free, hand_on, site_at
from project.dev.database import LogIns, prepare_database
from project.dev.lock import only_one
from project.dev.programs import programs
from project.dev.supervisor import STOP_SIGNALS, supervise
from project.dev.terminal import command_line, prefixed_output


class Command(BaseCommand):
    help = (
        "Runs all of Tidy on this machine: the site, a worker, the scheduler and, unless REDIS_URL "
        "is set, a broker. All but the broker restart when the code changes. Ctrl-C stops them."
    )
    # The checks may read the database, which is migrated first.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="where the site listens")
        parser.add_argument("--port", type=int, default=8000, help="its port (%(default)s)")

    def handle(self, *, host: str, port: int, **_: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("This is for development, and DJANGO_DEBUG is off (see .env).")
        os.environ.update(PYTHONUNBUFFERED="1", DJANGO_RUNSERVER_HIDE_WARNING="true")
        for signum in STOP_SIGNALS:
            signal.signal(signum, lambda *_: sys.exit(0))  # Until there are programs to stop.
        with only_one(settings.VAR_DIR / "dev.lock") as lock, prefixed_output(sys.stdout) as write:
            check_free(host, port)
            hand_on(site_at(host, port))
            to_run = list(programs(host, port))
            log_ins = prepare_database(partial(write, ""))
            supervise(
                to_run,
                write=write,
                when_up=lambda: write("", welcome(host, port, log_ins)),
                keep_open=[lock],
            )


def welcome(host: str, port: int, log_ins: LogIns) -> str:
    manage = partial(command_line, settings.BASE_DIR)
    site = site_at(host, port)
    person = f" as {log_ins.person}" if log_ins.person else ""
    staff = f"as {log_ins.staff}" if log_ins.staff else f"nobody yet: {manage('createsuperuser')}"
    lines = [
        ("Todos", f"{site}/{person}"),
        ("Admin", f"{site}/admin/ {staff}"),
        ("Password", log_ins.password and f"{log_ins.password} (of both; shown this once)"),
        ("New password", log_ins.staff and manage("changepassword", log_ins.staff)),
        ("Tonight", f"{site}/admin/background/ (when the cleanup runs, and what it took)"),
        ("Sweep now", manage("cleanup_todos")),
        ("Stop", "Ctrl-C"),
    ]
    said = "".join(f"  {label:<14} {line}\n" for label, line in lines if line)
    return f"\n  Tidy is running.\n\n{said}"
