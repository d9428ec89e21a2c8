"""Looks at `manage.py dev` from outside, as a person at the machine would."""

import re
from http.client import HTTPConnection
from pathlib import Path

from tests.processes import Process, Tidy, wait_until


def get(port: int, path: str) -> int:
    """Return the status of a page."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def processes_in(folder: Path) -> dict[int, str]:
    """Return the command lines, by process id, of what runs in a folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            cwd = (process / "cwd").readlink()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # It ended, or is not ours.
        if command and cwd.is_relative_to(folder):  # A process that has ended has no command.
            found[int(process.name)] = command
    return found


def assert_nothing_runs_in(folder: Path, seconds: float = 5) -> None:
    wait_until(
        lambda: not processes_in(folder),
        seconds=seconds,
        otherwise=lambda: f"still running: {processes_in(folder)}",
    )


def process_id(folder: Path, command: str) -> int:
    """Return the id of the oldest process in a folder whose command line contains `command`."""
    return min(pid for pid, line in processes_in(folder).items() if command in line)


def wait_until_up(dev: Process) -> None:
    dev.wait_for("Tidy is running.", seconds=60)


def todos(tidy: Tidy) -> int:
    counted = tidy.manage(
        "shell", "-v0", "-c", "from todos.models import Todo; print(Todo.objects.count())"
    )
    return int(counted.stdout)


def said(dev: Process, label: str) -> str:
    """Return what stands after a label of the banner."""
    found = re.search(rf"^  {label} +(.+)$", dev.output(), re.MULTILINE)
    assert found, dev.output()
    return found[1]


def responds(port: int) -> bool:
    try:
        return get(port, "/readyz") == 200
    except OSError:
        return False
