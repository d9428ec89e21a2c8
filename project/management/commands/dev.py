"""`manage.py dev`: all of Tidy on one machine, for development and for a first look."""

import asyncio
import fcntl
import http.client
import os
import secrets
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from project.supervisor import Program, Supervisor
from project.terminal import PrefixedOutput, command_line
from project.valkey import answers, path_fits, valkey_command
from todos.demo import seed_demo

DEMO_USERS = 100
DEMO_TODOS = 5_000

#: What the programs get besides this process's own environment.
CHILDREN = {"PYTHONUNBUFFERED": "1", "DJANGO_RUNSERVER_HIDE_WARNING": "true"}

#: How long (seconds) the broker of a run that was killed has to finish.
LAST_RUN_GRACE = 10


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
        host, port = options["host"], options["port"]
        if not settings.DEBUG:
            raise CommandError("This is for development, and DJANGO_DEBUG is off (see .env).")
        check_port(host, port)
        with only_one():
            check_broker()
            call_command("migrate", verbosity=0)
            password = first_start()
            output = PrefixedOutput(sys.stdout)
            supervisor = Supervisor(
                programs(host, port),
                write=output.write,
                environment={**os.environ, **CHILDREN},
            )
            asyncio.run(supervisor.run(when_up=lambda: output.plain(welcome(host, port, password))))


def check_port(host: str, port: int) -> None:
    """Refuse an address that the site could not listen on.

    Raises:
        CommandError: naming the address and the reason.
    """
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        errno = getattr(error, "errno", None)
        reason = os.strerror(errno) if errno and errno > 0 else error
        raise CommandError(
            f"Port {port} on {host} cannot be used ({reason}): choose another with --port."
        ) from error


@contextmanager
def only_one() -> Iterator[None]:
    """Hold this folder's lock, which goes with the process, however it ends.

    Raises:
        CommandError: another one holds it.
    """
    with (settings.VAR_DIR / "dev.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError("Tidy is running in this folder already.") from error
        yield


def check_broker() -> None:
    """See that the embedded broker can start.

    Raises:
        CommandError: its socket's path is too long, or one that we did not start answers there.
    """
    if "REDIS_URL" in os.environ:
        return
    path = settings.VALKEY_SOCKET
    if not path_fits(path):
        raise CommandError(
            f"{path} is too long for a socket: move this folder up, or set REDIS_URL."
        )
    # The broker of a run that was killed ends by itself.
    deadline = monotonic() + LAST_RUN_GRACE
    while answers(path):
        if monotonic() > deadline:
            raise CommandError(f"Another Valkey answers at {path}: stop it first.")
        sleep(0.1)
    settings.VALKEY_DIR.mkdir(exist_ok=True)


def first_start() -> str | None:
    """On the very first start, make demo data and a staff user; return that user's password."""
    if User.objects.exists():
        return None
    password = secrets.token_urlsafe(9)
    User.objects.create_superuser("admin", password=password)
    seed_demo(users=DEMO_USERS, todos=DEMO_TODOS, seed=1)
    return password


def programs(host: str, port: int) -> Iterator[Program]:
    """Yield what to run, in the order in which it starts."""
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    if "REDIS_URL" not in os.environ:
        path = settings.VALKEY_SOCKET
        yield Program(
            name="valkey",
            command=valkey_command(folder=settings.VALKEY_DIR, socket=path),
            ready=lambda: answers(path),
        )
    yield Program(
        name="worker",
        command=[
            *(*manage, "rundramatiq", "--processes", "1", "--threads", "4"),
            *("--worker-shutdown-timeout", "5000"),
        ],
    )
    yield Program(name="scheduler", command=[*manage, "runscheduler"])
    yield Program(
        name="web",
        command=[*manage, "runserver", f"{host}:{port}"],
        ready=lambda: serves(host, port),
    )


def serves(host: str, port: int) -> bool:
    """Say whether the site answers."""
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def welcome(host: str, port: int, password: str | None) -> str:
    """Return where to go, who to log in as and what to try."""
    login = (
        f"admin, password {password} (shown this once)"
        if password
        else f"admin; forgot the password? {command_line('manage.py', 'changepassword', 'admin')}"
    )
    return (
        "\n"
        "  Tidy is running.\n"
        "\n"
        f"  Go to          http://{host}:{port}/admin/\n"
        f"  Log in as      {login}\n"
        f"  Clean up now   {command_line('manage.py', 'cleanup_todos')}\n"
        "  Stop           Ctrl-C\n"
    )
