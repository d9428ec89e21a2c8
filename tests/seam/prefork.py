"""Runs `manage.py` in forks of one process that has loaded Tidy: much faster than from the start.

Started by `Preforked` in `tests/processes.py`, in the project's folder, with the environment of the
commands. Each connection to the socket that its argument names is one command: its arguments come
as JSON, with what it is to write to; its exit code is sent back. A command is a process of its own,
which begins with nothing open, as it would without us. All of it ends with the standard input.
"""

import gc
import json
import os
import runpy
import select
import socket
import sys
from contextlib import suppress

import django

#: Bytes in one request.
LONGEST_REQUEST = 1_000_000


def next_command(listener: socket.socket) -> list[str]:
    """Serve until the standard input ends; return, in a new process, a command's arguments."""
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
        request, outputs, _, _ = socket.recv_fds(connection, LONGEST_REQUEST, 2)
        if command := os.fork():
            _, status = os.waitpid(command, 0)
            connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            os._exit(0)
        connection.close()
        for number, output in zip((1, 2), outputs, strict=True):
            os.dup2(output, number)
            os.close(output)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        arguments: list[str] = json.loads(request)
        return arguments


def main() -> None:
    """Load Tidy, serve, and become a command."""
    sys.path[0] = os.getcwd()  # noqa: PTH109  (what Python puts there for manage.py)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    print("loaded", flush=True)  # noqa: T201  (who has started this waits for it)
    sys.argv = ["manage.py", *next_command(listener)]
    runpy.run_path("manage.py", run_name="__main__")


if __name__ == "__main__":
    main()
