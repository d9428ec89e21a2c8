"""The site as gunicorn serves it, and a browser without a screen."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from time import monotonic
from urllib.parse import urlencode

from tests.processes import Process, Tidy, wait_until
from tests.servers import free_port

HOST = "tidy.example"


@contextmanager
def web(tidy: Tidy) -> Iterator[tuple[Process, int]]:
    """Serve the site until the block ends, whose static files are collected; yield its port."""
    port = free_port()
    log = (tidy.logs or tidy.folder) / f"web.{monotonic()}.log"
    command = [sys.executable, "-m", "gunicorn", "project.wsgi", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers=1", "--threads=2", "--no-control-socket", "--graceful-timeout=5"]
    command += ["--logger-class=project.logs.server.ServerLog"]
    with log.open("wb") as file:
        popen = subprocess.Popen(
            command, cwd=tidy.folder, env=tidy.environment, stdout=file, stderr=file
        )
    process = Process(popen, log)
    try:
        wait_until(
            lambda: popen.poll() is not None or answers(port),
            seconds=60,
            otherwise=process.output,
        )
        assert popen.poll() is None, process.output()
        yield process, port
    finally:
        popen.kill()
        popen.wait(10)


def answers(port: int) -> bool:
    try:
        return Browser(port).get("/livez") == 200
    except OSError:
        return False


def collect_files(tidy: Tidy) -> None:
    """Collect the files of the pages, in a copy of the project that nobody shares."""
    done = tidy.manage("collectstatic", "--no-input", "-v0")
    assert done.returncode == 0, done.stderr


class Browser:
    """A browser of somebody.

    Attributes:
        cookies: those that it keeps, by name.
        page: the last page.
        headers: the last page's.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self.page = ""
        self.headers: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> int:
        """Open a page; return its status."""
        return self._ask("GET", path, None, headers)

    def post(self, path: str, form: Mapping[str, str], **headers: str) -> int:
        """Send a form, with its token; return the status of the answer."""
        fields = {**form, "csrfmiddlewaretoken": self.cookies.get("csrftoken", "")}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, urlencode(fields), {**kind, **headers})

    def log_in(self, name: str, password: str) -> int:
        """Log in as people do; return the status of the answer."""
        self.get("/accounts/login/")
        return self.post("/accounts/login/", {"login": name, "password": password})

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Host": HOST, "Cookie": cookies, **headers}
        try:
            connection.request(
                method, path, body, {name.replace("_", "-"): sent[name] for name in sent}
            )
            answer = connection.getresponse()
            self.page = answer.read().decode()
            self.headers = dict(answer.getheaders())
            for cookie in answer.headers.get_all("Set-Cookie", []):
                if match := re.match(r"(\w+)=([^;]+)", cookie):
                    self.cookies[match[1]] = match[2]
            return answer.status
        finally:
            connection.close()


def send_raw(port: int, data: bytes) -> bytes:
    """Send bytes that are no request; return the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        with suppress(OSError):
            while part := connection.recv(4096):
                answer += part
        return answer
