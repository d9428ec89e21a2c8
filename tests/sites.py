"""The site as it runs in production: gunicorn, in a copy of the project, and who asks it."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic

from tests.processes import Process, Tidy, wait_until
from tests.servers import free_port

#: Logs a new superuser in, and prints the key of the session.
LOG_IN = """
from django.contrib.auth import login
from django.http import HttpRequest
from accounts.models import User
from accounts.sessions import SessionStore
request = HttpRequest()
request.session = SessionStore()
request.META["REMOTE_ADDR"] = "127.0.0.1"
login(request, User.objects.create_superuser("alice"))
request.session.save()
print(request.session.session_key)
"""


@dataclass(frozen=True)
class Answer:
    """What the site has answered, and after how long."""

    status: int
    text: str
    headers: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class Site:
    """A site that runs, and somebody who asks it."""

    port: int
    process: Process
    cookies: str = ""

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request on a connection of its own; `HX_Request` is the header HX-Request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        begun = monotonic()
        try:
            connection.request(method, path, headers={"Cookie": self.cookies, **named})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        took = monotonic() - begun
        return Answer(response.status, text, dict(response.headers), took)

    def ask_at_once(self, path: str, times: int, **headers: str) -> list[Answer]:
        """Send so many requests at the same time."""
        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(lambda _: self.ask(path, **headers), range(times)))


def collect_static(tidy: Tidy) -> None:
    """Collect the static files in the copy: without them, production shows no page."""
    done = tidy.manage("collectstatic", "--no-input", "-v0")
    assert done.returncode == 0, done.stderr


def log_in(tidy: Tidy) -> str:
    """Return the cookie of somebody new who is logged in and may do everything."""
    done = tidy.manage("shell", "-v0", "-c", LOG_IN)
    assert done.returncode == 0, done.stderr
    return f"sessionid={done.stdout.strip()}"


@contextmanager
def serving(
    tidy: Tidy, log: Path, *options: str, cookies: str = "", port: int | None = None
) -> Iterator[Site]:
    """Serve the site until the block ends; it answers `/livez` when the block begins.

    Args:
        tidy: a copy of the project whose static files are collected.
        log: the file for what it writes.
        options: of gunicorn, beside those of gunicorn.conf.py.
        cookies: those that whoever asks it sends.
        port: where it listens; a free one by default.
    """
    port = port or free_port()
    with log.open("ab") as file:
        web = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *options],
            cwd=tidy.folder,
            env=tidy.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    site = Site(port, Process(web, log), cookies)
    try:
        wait_until(lambda: lives(site), seconds=60, otherwise=site.process.output)
        yield site
    finally:
        web.terminate()
        web.wait(30)


def lives(site: Site) -> bool:
    assert site.process.popen.poll() is None, site.process.output()
    try:
        return site.ask("/livez").status == 200
    except OSError:
        return False
