"""What must hold of every answer, whoever has asked for what."""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from time import thread_time
from typing import Any
from urllib.parse import urlsplit

from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import got_request_exception

from project.headers import HEADERS
from tests.fuzz.cast import Cast, Visitor, secrets_of
from tests.fuzz.hostile import SCRIPT
from tests.fuzz.sent import Sent
from tests.fuzz.state import State
from tests.rows import Rows, all_rows, without_visits

#: What no page shows: how it came about.
INSIDES = (b"site-packages", b"argon2$", b"md5$", b"DATABASE_URL")

#: Of one processor: no input may keep it busy.
MOST_SECONDS = 3.0

TOKEN = "t" * 32

#: A page that says that it was in somebody's way, or that mail is away.
UNAVAILABLE = 503


@dataclass
class Answer:
    """What the site has answered.

    Attributes:
        error: the traceback, if it failed.
        seconds: of the processor.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    error: str
    seconds: float


@dataclass
class Site:
    """The site as its web server calls it, and what became of its rows.

    Attributes:
        settings: values that no page may show.
        sent: requests so far.
    """

    cast: Cast
    state: State
    settings: list[bytes]
    sent: int = 0
    handler: WSGIHandler = field(default_factory=WSGIHandler)

    def ask(self, request: Sent, visitor: Visitor) -> Answer:
        """Send a request as a web server hands it on."""
        self.sent += 1
        errors: list[str] = []

        def failed(sender: Any, **_: Any) -> None:
            errors.append(traceback.format_exc())

        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            begun.append((status, headers))

        environ = {
            **request.environ(visitor, TOKEN),
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(request.body),
            "wsgi.errors": BytesIO(),
        }
        got_request_exception.connect(failed)
        began = thread_time()
        try:
            response: Iterable[bytes] = self.handler(environ, start)
            body = b"".join(response)
            getattr(response, "close", lambda: None)()
        finally:
            got_request_exception.disconnect(failed)
        ((status, headers),) = begun
        return Answer(
            int(status.split()[0]), dict(headers), body, "".join(errors), thread_time() - began
        )

    def holds(self, request: Sent, visitor: Visitor) -> None:
        """Send a request, and check the answer and the rows; then put them back."""
        with self.state.watched():
            answer = self.ask(request, visitor)
        try:
            check(answer, secrets_of(visitor, self.cast), self.settings)
            if self.state.is_changed:
                check_rows(request, visitor, self.state.rows, all_rows())
        finally:
            self.state.put_back()


def check(answer: Answer, secrets: list[str], settings: list[bytes]) -> None:
    """Check one answer by itself."""
    assert answer.status < 500 or is_deliberate(answer), answer.error or answer.body[:500]
    assert answer.seconds < MOST_SECONDS, f"it took {answer.seconds:.1f} s"
    for name, value in HEADERS.items():
        assert answer.headers.get(name) == value, f"{name}: {answer.headers.get(name)}"
    assert "default-src 'self'" in answer.headers.get("Content-Security-Policy", "")
    assert not any("x7q" in name.lower() for name in answer.headers), "a header was injected"
    assert "x7q=" not in answer.headers.get("Set-Cookie", ""), "a cookie was injected"
    target = urlsplit(answer.headers.get("Location", "/"))
    assert target.netloc in {"", "testserver"}, f"it leads to {target.geturl()}"
    assert target.scheme in {"", "http", "https"}, f"it leads to {target.geturl()}"
    whole = answer.body + "\n".join(answer.headers.values()).encode()
    for inside in (*INSIDES, *settings):
        assert inside not in whole, f"it shows {inside!r}"
    for secret in secrets:
        assert secret.encode() not in whole, f"it shows {secret}"
    if "html" in answer.headers.get("Content-Type", ""):
        assert SCRIPT.encode() not in answer.body, "it has the script that was sent"


def is_deliberate(answer: Answer) -> bool:
    """Return whether a page says that a part of the site is away, and nothing has failed."""
    return answer.status == UNAVAILABLE and not answer.error


def check_rows(request: Sent, visitor: Visitor, before: Rows, after: Rows) -> None:
    """Check that the visitor has changed what is theirs, or what they may; by a GET, nothing."""
    if request.method in {"GET", "HEAD", "OPTIONS", "TRACE"}:
        assert without_visits(after) == without_visits(before), differences(before, after)
    if visitor.changes_nothing:
        mine, theirs = others(before, visitor), others(after, visitor)
        assert theirs == mine, differences(mine, theirs)


def others(rows: Rows, visitor: Visitor) -> Rows:
    """Return the rows that were there for others, or for nobody, without what anybody may add."""
    return {
        name: [row for row in values if is_anothers(name, row, visitor)]
        for name, values in rows.items()
    }


def is_anothers(name: str, row: dict[str, Any], visitor: Visitor) -> bool:
    if name == "accounts.User":
        return bool(row["pk" if "pk" in row else "id"] != visitor.pk)
    return row.get("user_id") not in {visitor.pk, None} if "user_id" in row else True


def differences(before: Rows, after: Rows) -> str:
    """Say which rows differ."""
    found = []
    for name, rows in after.items():
        found += [f"- {name} {row}" for row in before[name] if row not in rows]
        found += [f"+ {name} {row}" for row in rows if row not in before[name]]
    return "\n".join(found)
