"""A web server on a port of this machine, which keeps what it gets, and answers as tests want."""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, override

from tests.checkout import ROOT


@dataclass(frozen=True)
class Request:
    """One that it got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What it got, and how it is to behave from now on.

    Attributes:
        scheme: `http`, or `https` with a certificate.
        status: its answer.
        location: where it redirects to; empty for nowhere.
        drips: whether it sends an answer that never ends, a byte at a time.
        go_on: cleared to let it stall when it has got a request.
        stalled: set while it has got a request and does not answer.
    """

    port: int
    scheme: str = "http"
    status: int = 204
    location: str = ""
    drips: bool = False
    requests: list[Request] = field(default_factory=list)
    go_on: Event = field(default_factory=Event)
    stalled: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?key=k"


class Server(ThreadingHTTPServer):
    """Answers each request as its receiver says."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, certificate: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ended = Event()
        self.receiver = Receiver(self.server_port)
        self.receiver.go_on.set()
        if certificate:
            self.receiver.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that hung up, or did not accept the certificate."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        state = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        state.requests.append(Request(self.command, self.path, dict(self.headers), body))
        if not state.go_on.is_set():
            state.stalled.set()
            state.go_on.wait(60)
        if state.drips:
            self._drip()
            return
        self.send_response(state.status)
        if state.location:
            self.send_header("Location", state.location)
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def _drip(self) -> None:
        with suppress(OSError):
            while not self.server.ended.wait(0.05):
                self.wfile.write(b"H")

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def documented_check() -> Callable[[Mapping[str, str], bytes, str], bool]:
    """Return the function with which a receiver checks a webhook, as docs/operations.md has it."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import base64\n.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  (it is ours)
    found: Callable[[Mapping[str, str], bytes, str], bool] = names["is_genuine"]
    return found


@contextmanager
def receiver(certificate: Path | None = None) -> Iterator[Receiver]:
    """Run a web server until the block ends; with a certificate, it speaks HTTPS."""
    with Server(certificate) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.receiver
        finally:
            server.ended.set()
            server.receiver.go_on.set()
            server.shutdown()
            thread.join(10)
