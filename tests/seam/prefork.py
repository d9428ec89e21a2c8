"""Runs `manage.py` in forks of one process that has loaded the libraries: much faster than anew.

Started by `Preforked` in `tests/preforked.py`. What is loaded is the libraries alone, and no
setting has been read: each command loads Tidy itself, from the folder and with the environment that
its request names. A command is a process of its own, which begins with nothing open, as it would
without us. All of it ends with the standard input.

Each connection to the socket that our argument names is one command. The request comes as JSON,
with what the command reads from and writes to; its process id is sent back, then its exit code, a
line each. Instead of a command, a request may name another socket: then a fork loads Tidy, too, and
serves there in the same way, for commands in one environment.
"""

import gc
import json
import os
import random
import runpy
import select
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

import django

#: What a command would load first. One that is missing here is loaded by each command.
LIBRARIES = (
    "apscheduler.schedulers.background",
    "apscheduler.triggers.interval",
    "argon2",
    "cronsim",
    "dj_database_url",
    "django.contrib.admin",
    "django.contrib.auth.tokens",
    "django.contrib.staticfiles.finders",
    "django.core.management.commands.migrate",
    "django.core.management.commands.runserver",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.executor",
    "django.template.defaulttags",
    "django.template.loader_tags",
    "django.views.debug",
    "django.views.generic",
    "django_dramatiq.apps",
    "django_htmx",
    "dotenv",
    "dramatiq.brokers.redis",
    "dramatiq.cli",
    "dramatiq.results.backends",
    "environs",
    "fido2.server",
    "psycopg",
    "qrcode.main",
    "redis",
    "structlog",
    "tqdm",
)

#: Bytes in one request.
LONGEST_REQUEST = 1_000_000


@dataclass
class Command:
    """What is to be run.

    Attributes:
        arguments: of `manage.py`.
        folder: the copy of the project.
        environment: the whole of it.
        leads_group: whether it leads a session, and so a process group, of its own.
        serves_at: the socket to serve at, with Tidy loaded, instead of running a command.
    """

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    leads_group: bool
    serves_at: str


def next_command(address: str) -> Command:
    """Serve at a socket until the standard input ends; return, in a new process, its command."""
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("loaded", flush=True)  # noqa: T201  (who has started this waits for it)
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        request, files, _, _ = socket.recv_fds(connection, LONGEST_REQUEST, 3)
        if pid := os.fork():
            for file in files:
                os.close(file)
            tell_of(pid, connection)
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        return Command(**json.loads(request))


def tell_of(pid: int, connection: socket.socket) -> NoReturn:
    """Tell of a process: its id, and in the end its exit code."""
    with suppress(BrokenPipeError):  # Nobody wants to know any more.
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def become(command: Command) -> None:
    """Be the process that runs a command."""
    if command.leads_group:
        os.setsid()
    os.chdir(command.folder)
    os.environ.clear()
    os.environ.update(command.environment)
    random.seed()  # Else all would draw the same numbers.
    if command.serves_at:
        sys.path[0] = command.folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
        django.setup()
        become(next_command(command.serves_at))
    elif command.arguments[0] == "rundramatiq":
        run_workers(command, *what_it_becomes(command))
    else:
        run_manage(command)


def run_manage(command: Command) -> None:
    """Be `manage.py`."""
    sys.path[0] = command.folder
    sys.argv = ["manage.py", *command.arguments]
    runpy.run_path("manage.py", run_name="__main__")


def run_workers(command: Command, path: str, arguments: list[str]) -> None:
    """Be the program that `rundramatiq` becomes: a module of ours; before, it was a script."""
    if arguments[1] == "-m":
        sys.path[0] = command.folder
        sys.argv = arguments[2:]
        runpy.run_module(arguments[2], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(path)  # noqa: PTH120
        sys.argv = arguments
        runpy.run_path(path, run_name="__main__")


def what_it_becomes(command: Command) -> tuple[str, list[str]]:
    """Return the path and the arguments of the program that a command replaces itself by.

    A process that replaces itself forgets all that it had loaded, the libraries too. So another
    one runs the command up to there, and this one takes its environment. If it ends before, so does
    this one.
    """
    reading, writing = os.pipe()
    if pid := os.fork():
        os.close(writing)
        with os.fdopen(reading) as told:
            text = told.read()
        _, status = os.waitpid(pid, 0)
        if not text:
            os._exit(os.waitstatus_to_exitcode(status))
        path, arguments, environment = json.loads(text)
        os.environ.update(environment)
        return path, arguments
    os.close(reading)

    def tell(path: str, arguments: list[str]) -> NoReturn:
        with os.fdopen(writing, "w") as telling:
            json.dump([path, arguments, dict(os.environ)], telling)
        os._exit(0)

    os.execv = os.execvp = tell  # type: ignore[assignment]
    run_manage(command)
    sys.exit()


def main() -> None:
    """Load the libraries, serve, and become a command."""
    for library in LIBRARIES:
        import_module(library)
    become(next_command(sys.argv[1]))


if __name__ == "__main__":
    main()
