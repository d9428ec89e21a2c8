"""`manage.py dev` as a newcomer runs it: in a fresh copy of the project, with nothing set."""

import json
import os
import re
import signal
import socket
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest
import redis

from tests.checkout import copy_project
from tests.processes import Process, Tidy, wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


@pytest.fixture
def tidy(tmp_path: Path, checkout: Path) -> Tidy:
    """A copy of the project, and an environment that says nothing."""
    return Tidy(copy_project(tmp_path / "my tidy", checkout))


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        chosen: int = server.getsockname()[1]
    return chosen


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
        if command and cwd.is_relative_to(folder):
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


def test_one_command_runs_all_of_tidy_and_one_signal_stops_it(tidy: Tidy, port: int) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert get(port, "/livez") == 200
        assert get(port, "/readyz") == 200
        assert get(port, "/admin/login/") == 200

        # What the banner says is true: the other commands work beside it with nothing to set.
        assert tidy.manage("ping", "--wait=30").returncode == 0
        expected = json.loads(tidy.manage("cleanup_todos", "--dry-run", "--json").stdout)
        swept = json.loads(tidy.manage("cleanup_todos", "--enqueue", "--wait=30", "--json").stdout)
        assert swept == expected
        assert swept["todos_deleted"] > 1_000
        assert todos(tidy) == 5_000 - swept["todos_deleted"]

        assert dev.stop() == 0
        assert_nothing_runs_in(tidy.folder)

    output = dev.output()
    assert "Traceback" not in output
    assert f"http://127.0.0.1:{port}/admin/" in output
    for name in ("valkey", "worker", "scheduler", "web"):
        assert re.search(rf"^{name} *│ ", output, re.MULTILINE)
    assert (tidy.folder / ".env").stat().st_mode & 0o777 == 0o600


def test_banner_names_an_admin_who_can_log_in(tidy: Tidy, port: int) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert dev.stop() == 0
    found = re.search(r"Log in as +admin, password (\S+) ", dev.output())
    assert found, dev.output()
    check = tidy.manage(
        "shell",
        "-v0",
        "-c",
        "from django.contrib.auth import authenticate\n"
        f"user = authenticate(username='admin', password={found[1]!r})\n"
        "print(user.is_staff and user.is_superuser)",
    )
    assert check.stdout == "True\n"


def test_second_start_keeps_todos_and_what_the_broker_held(tidy: Tidy, port: int) -> None:
    address = str(tidy.folder / "var" / "valkey" / "valkey.sock")
    with (
        tidy.start("dev", f"--port={port}") as dev,
        redis.Redis(unix_socket_path=address) as broker,
    ):
        wait_until_up(dev)
        broker.set("kept", "yes")
        assert dev.stop() == 0
    assert tidy.manage("cleanup_todos").returncode == 0
    left = todos(tidy)

    with (
        tidy.start("dev", f"--port={port}") as dev,
        redis.Redis(unix_socket_path=address) as broker,
    ):
        wait_until_up(dev)
        assert broker.get("kept") == b"yes"
        assert dev.stop() == 0

    assert 0 < left < 5_000
    assert todos(tidy) == left
    assert "forgot the password?" in dev.output()


@pytest.mark.parametrize("command", ["valkey-server", "dramatiq", "runscheduler", "runserver"])
def test_program_that_is_killed_comes_back_and_works(tidy: Tidy, port: int, command: str) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert tidy.manage("ping", "--wait=30").returncode == 0
        killed = process_id(tidy.folder, command)
        os.kill(killed, signal.SIGKILL)
        dev.wait_for("starts again in 1 s")
        wait_until(
            lambda: any(command in line for line in processes_in(tidy.folder).values()),
            seconds=20,
            otherwise=dev.output,
        )
        answered = tidy.manage("ping", "--wait=30")
        assert answered.returncode == 0, answered.stderr
        wait_until(lambda: responds(port), seconds=20, otherwise=dev.output)
        assert dev.stop(seconds=30) == 0
        assert_nothing_runs_in(tidy.folder)


def responds(port: int) -> bool:
    try:
        return get(port, "/readyz") == 200
    except OSError:
        return False


def test_ctrl_c_in_a_terminal_stops_everything(tidy: Tidy, port: int) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        # As a terminal does: to every process of the foreground group.
        os.killpg(dev.popen.pid, signal.SIGINT)
        assert dev.popen.wait(20) == 0
        assert_nothing_runs_in(tidy.folder)
    assert "Traceback" not in dev.output()


def test_killed_supervisor_leaves_nothing_behind_and_the_next_start_works(
    tidy: Tidy, port: int
) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        os.kill(dev.popen.pid, signal.SIGKILL)
        dev.popen.wait(10)
        assert_nothing_runs_in(tidy.folder, seconds=15)
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert dev.stop() == 0


def test_port_in_use_is_one_clear_line(tidy: Tidy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = tidy.manage("dev", f"--port={port}")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"CommandError: Port {port} on 127.0.0.1 cannot be used (Address already in use): "
        "choose another with --port.\n"
    )


@pytest.mark.parametrize("port", ["-1", "70000"])
def test_port_that_cannot_be_is_one_clear_line(tidy: Tidy, port: str) -> None:
    refused = tidy.manage("dev", f"--port={port}")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"CommandError: Port {port} on 127.0.0.1 cannot be used")
    assert refused.stderr.count("\n") == 1


def test_second_one_in_the_same_folder_is_one_clear_line_and_harms_nothing(
    tidy: Tidy, port: int
) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        refused = tidy.manage("dev", "--port=0")
        assert refused.returncode == 1
        assert refused.stderr == "CommandError: Tidy is running in this folder already.\n"
        assert tidy.manage("ping", "--wait=30").returncode == 0
        assert dev.stop() == 0


def test_with_debug_off_it_refuses(tidy: Tidy) -> None:
    (tidy.folder / ".env").write_text(
        "DJANGO_SECRET_KEY=x\nDJANGO_ALLOWED_HOSTS=x\nDATABASE_URL=sqlite:////nonexistent/x\n"
        "REDIS_URL=redis://localhost\n"
    )
    refused = tidy.manage("dev")
    assert refused.returncode == 1
    assert "DJANGO_DEBUG is off" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_output_into_a_pipe_that_closes_stops_no_program(tidy: Tidy, port: int) -> None:
    read_end, write_end = os.pipe()
    with tidy.start("dev", f"--port={port}", output=write_end) as dev:
        os.close(write_end)
        os.read(read_end, 1)
        os.close(read_end)
        wait_until(lambda: responds(port), seconds=60, otherwise=lambda: "not up")
        assert dev.stop() == 0
        assert_nothing_runs_in(tidy.folder)
