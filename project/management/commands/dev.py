"""`manage.py dev`: all of Tidy on one machine, for development and for a first look."""

import asyncio
import os
import signal
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from project.development import Login, Site, embedded_valkey, only_one, prepare_database, tidy
from project.supervisor import Supervisor, stop_signals
from project.terminal import PrefixedOutput, command_line

#: What the programs get besides this process's own environment.
CHILDREN = {"PYTHONUNBUFFERED": "1", "DJANGO_RUNSERVER_HIDE_WARNING": "true"}


class Command(BaseCommand):
    """Run broker, web, worker and scheduler under one supervisor."""

    help = (
        "Runs all of Tidy on this machine: the site, a worker, the scheduler and, unless REDIS_URL "
        "is set, a broker. Ctrl-C stops everything."
    )
    # The database may be new: what the checks would read is migrated first.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--host", default="127.0.0.1", help="where the site listens")
        parser.add_argument("--port", type=int, default=8000, help="its port (8000)")

    def handle(self, **options: Any) -> None:
        """Prepare, run until told to stop."""
        site = Site(host=options["host"], port=options["port"])
        if not settings.DEBUG:
            raise CommandError("This is for development, and DJANGO_DEBUG is off (see .env).")
        leave_when_told()
        with only_one() as lock, PrefixedOutput(sys.stdout) as output:
            site.check()
            valkey = embedded_valkey()
            login = prepare_database(output.plain)
            supervisor = Supervisor(
                [*([valkey] if valkey else []), *tidy(site)],
                write=output.write,
                environment={**os.environ, **CHILDREN},
                keep_open=[lock],
            )
            asyncio.run(supervisor.run(when_up=lambda: output.plain(welcome(site, login))))
            leave_when_told()


def leave_when_told() -> None:
    """Have a signal that asks to stop end this process well, while it has no programs to stop."""
    for signum in stop_signals():
        signal.signal(signum, lambda *_: sys.exit(0))


def welcome(site: Site, login: Login | None) -> str:
    """Return where to go, who to log in as and what to try."""

    def manage(*arguments: str) -> str:
        return command_line(settings.BASE_DIR, *arguments)

    if login is None:
        who = f"nobody yet: {manage('createsuperuser')}"
    else:
        known = f"{login.username}, password {login.password} (shown this once)"
        who = known if login.password else login.username
        who += f"\n  New password   {manage('changepassword', login.username)}"
    return (
        "\n"
        "  Tidy is running.\n"
        "\n"
        f"  Go to          http://{site.visited()}/admin/\n"
        f"  Log in as      {who}\n"
        f"  Clean up now   {manage('cleanup_todos')}\n"
        "  Stop           Ctrl-C\n"
    )
