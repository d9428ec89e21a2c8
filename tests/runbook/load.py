"""People who use the site without a pause, and count what they are refused."""

import re
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Event, Lock, Thread
from urllib.parse import urlencode

#: Between two todos that a person adds (seconds): the site allows 120 a minute.
BETWEEN_ADDS_SECONDS = 0.6

#: A request may wait for so long (seconds) while the site is replaced.
TIMEOUT_SECONDS = 30.0

TOKEN = "a" * 32

#: What a page loads, under names that only one version may have.
STYLES = re.compile(r'href="(/static/[^"]+\.css)"')


@dataclass
class Load:
    """What people did.

    Attributes:
        requests: all of them.
        added: the titles of the todos whose adding was answered.
        failed: what went wrong with requests, each in a line.
        longest: how long the longest took (seconds).
    """

    port: int
    host: str
    name: str
    tls: bool
    requests: int = 0
    added: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0
    _over: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def live(self, session: str) -> None:
        """Visit the list, and add a todo from time to time."""
        number, added_at = 0, 0.0
        while not self._over.is_set():
            page = self._request("GET", "/", session)
            for path in STYLES.findall(page or ""):
                self._request("GET", path, session)
            if time.monotonic() - added_at < BETWEEN_ADDS_SECONDS:
                continue
            number, added_at = number + 1, time.monotonic()
            title = f"{self.name} {session[:6]} {number}"
            if self._request("POST", "/todos/add/", session, title=title) is not None:
                with self._lock:
                    self.added.append(title)

    def _request(self, method: str, path: str, session: str, **given: str) -> str | None:
        """Make one request over a connection of its own; return the body if it succeeded."""
        started, text = time.monotonic(), b""
        site = self._connect()
        try:
            body = urlencode({**given, "csrfmiddlewaretoken": TOKEN}) if given else None
            site.request(method, path, body, self._headers(session))
            answer = site.getresponse()
            text = answer.read()
            fault = "" if answer.status in {200, 302} else f"{answer.status} {text[:80]!r}"
            if answer.status == 302 and not re.match(r"/($|\?)", answer.headers["Location"]):
                fault = f"led to {answer.headers['Location']}"
        except (OSError, HTTPException) as error:
            fault = f"{type(error).__name__}: {error}"
        finally:
            site.close()
        with self._lock:
            self.requests += 1
            self.longest = max(self.longest, time.monotonic() - started)
            if fault:
                self.failed.append(f"{method} {path}: {fault}")
        return None if fault else text.decode()

    def _connect(self) -> HTTPConnection:
        if not self.tls:
            return HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        # The proxy's certificate is its own.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS, context=context)

    def _headers(self, session: str) -> dict[str, str]:
        return {
            "Host": self.host,
            # The proxy overwrites these, where there is one.
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.1",
            "Referer": f"https://{self.host}/",
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": f"sessionid={session}; csrftoken={TOKEN}",
        }

    def end(self) -> None:
        self._over.set()


@contextmanager
def load(port: int, host: str, name: str, sessions: Sequence[str], *, tls: bool) -> Iterator[Load]:
    """Have people use a site until the block ends; `name` begins the titles of their todos."""
    found = Load(port, host, name, tls)
    people = [Thread(target=found.live, args=(one,), daemon=True) for one in sessions]
    for person in people:
        person.start()
    try:
        yield found
    finally:
        found.end()
        for person in people:
            person.join(TIMEOUT_SECONDS + 5)
