"""A site that is told to stop lets go of nobody: it says so first, and serves on for a while."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.servers import free_port

SETTINGS = {
    "DJANGO_SECRET_KEY": "only-for-this-test-0123456789-abcdefghijklmnopqrstuvwxyz",
    "DJANGO_ALLOWED_HOSTS": "localhost",
    "DATABASE_URL": "sqlite://:memory:",
    "REDIS_URL": "redis://localhost:9",
    "TRUSTED_PROXIES": "0",
}


@pytest.fixture
def port(checkout: Path, tmp_path: Path) -> Iterator[int]:
    """Where gunicorn is asked to stop, once it serves."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1"]
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(command, cwd=checkout, env=SETTINGS, stdout=file, stderr=file) as site,
    ):
        try:
            wait_until(
                lambda: answer(port, "/livez")[0] == 200, seconds=60, otherwise=log.read_text
            )
            assert "stopping" not in answer(port, "/readyz")[1]
            site.terminate()
            yield port
            assert site.wait(30) == 0
        finally:
            site.kill()


def answer(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body; (0, "") if nobody listens."""
    site = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        site.request("GET", path)
        response = site.getresponse()
        return response.status, response.read().decode()
    except ConnectionRefusedError:
        return 0, ""
    finally:
        site.close()


def test_site_that_stops_says_so_and_serves_on_until_others_have_heard_it(port: int) -> None:
    wait_until(lambda: "stopping" in answer(port, "/readyz")[1], seconds=4, otherwise=str)
    assert answer(port, "/readyz")[0] == 503
    assert answer(port, "/livez")[0] == 200
    wait_until(lambda: answer(port, "/livez")[0] == 0, seconds=15, otherwise=str)
