"""The site as gunicorn serves it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from subprocess import Popen

from tests.processes import Tidy, wait_until
from tests.servers import free_port


@contextmanager
def serving(tidy: Tidy, log: Path, *options: str) -> Iterator[tuple[int, int]]:
    """Serve the site until the block ends.

    Args:
        tidy: a copy of the project of its own: its static files are collected there.
        log: a file for what gunicorn writes.
        options: further ones of gunicorn.

    Yields:
        Its port, and its process id.
    """
    done = tidy.manage("collectstatic", "--no-input", "-v0")
    assert done.returncode == 0, done.stderr
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "project.wsgi", "--bind", f"127.0.0.1:{port}"]
    with (
        log.open("w") as file,
        Popen(
            [*command, "--no-control-socket", *options],
            cwd=tidy.folder,
            env=tidy.environment,
            stdout=file,
            stderr=file,
        ) as web,
    ):
        try:
            wait_until(lambda: answers(port), seconds=30, otherwise=log.read_text)
            yield port, web.pid
        finally:
            web.terminate()


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
