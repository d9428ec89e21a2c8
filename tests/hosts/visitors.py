"""People who add and complete todos, over HTTP, and remember what they were told."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Event, Thread
from time import monotonic, time
from urllib.parse import urlencode

import psycopg

#: A browser gives up after this (seconds).
TIMEOUT_SECONDS = 30.0

#: Between two acts (seconds), at the most: a person may add 120 todos in a minute.
LONGEST_PAUSE = 1.2

WORD = "correct-horse-battery"

#: What a page names its todos by, to complete them.
ID = re.compile(r'name="id" value="(\d+)"')


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        at: when it was sent (seconds since 1970).
        seconds: how long it took.
        answer: the status, or what went wrong.
    """

    at: float
    seconds: float
    answer: str

    @property
    def failed(self) -> bool:
        return not self.answer.startswith(("2", "3"))


@dataclass
class Visitor:
    """One person, at one web host.

    Attributes:
        added: titles that were acknowledged, and when.
        pending: the title and the key of what was sent and not acknowledged.
    """

    name: str
    host: str
    port: int
    chance: random.Random
    requests: list[Request] = field(default_factory=list)
    added: dict[str, float] = field(default_factory=dict)
    _cookies: dict[str, str] = field(default_factory=dict)
    _signed_up: bool = False
    _pending: tuple[str, str] | None = None
    _titles: int = 0

    def act(self) -> None:
        """Do one thing; what fails is done again next time, as people do."""
        if not self._signed_up:
            self._sign_up()
        elif self._pending or self.chance.random() < 0.7:
            self._add()
        else:
            self._complete()

    def _sign_up(self) -> None:
        self._ask("GET", "/accounts/signup/")
        status, _ = self._ask(
            "POST", "/accounts/signup/", {"username": self.name, "password1": WORD}
        )
        self._signed_up = status == "302" and "sessionid" in self._cookies

    def _add(self) -> None:
        if self._pending is None:
            self._titles += 1
            key = f"{self.chance.getrandbits(128):032x}"
            self._pending = f"{self.name} {self._titles}", key
        title, key = self._pending
        status, _ = self._ask("POST", "/todos/add/", {"title": title, "key": key})
        if status == "302":
            self.added[title] = time()
            self._pending = None

    def _complete(self) -> None:
        status, page = self._ask("GET", "/")
        if status == "200" and (ids := ID.findall(page)):
            self._ask("POST", "/todos/complete/", {"id": self.chance.choice(ids)})

    def _ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> tuple[str, str]:
        """Send a request; return the status, or what went wrong, and the page."""
        at, begun, page = time(), monotonic(), ""
        connection = HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS)
        headers = {"Cookie": "; ".join(f"{n}={v}" for n, v in self._cookies.items())}
        body = None
        if fields is not None:
            token = self._cookies.get("csrftoken", "")
            body = urlencode({"csrfmiddlewaretoken": token, **fields})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            page = response.read().decode()
            self._keep_cookies(response)
            answer = str(response.status)
        except (OSError, HTTPException) as error:
            answer = type(error).__name__
        finally:
            connection.close()
        self.requests.append(Request(at, monotonic() - begun, answer))
        return answer, page

    def _keep_cookies(self, response: HTTPResponse) -> None:
        for header in response.headers.get_all("Set-Cookie", []):
            name, _, value = header.partition(";")[0].partition("=")
            self._cookies[name] = value


class Visitors:
    """All of them, each in a thread."""

    def __init__(self, hosts: Sequence[str], port: int, seed: int, *, each: int = 2) -> None:
        self.all = [
            Visitor(f"visitor-{index}", host, port, random.Random(seed + index))  # noqa: S311
            for index, host in enumerate([*hosts] * each)
        ]
        self._over = Event()
        self._threads = [Thread(target=self._live, args=[visitor]) for visitor in self.all]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _live(self, visitor: Visitor) -> None:
        while not self._over.wait(visitor.chance.uniform(0, LONGEST_PAUSE)):
            visitor.act()

    def end(self) -> None:
        """Let each end what it does."""
        self._over.set()
        for thread in self._threads:
            if thread.ident:
                thread.join()

    def requests(self, start: float, end: float) -> list[Request]:
        """Return those that were sent between two moments."""
        return [
            request
            for visitor in self.all
            for request in list(visitor.requests)
            if start <= request.at <= end
        ]

    def lost(self, database: psycopg.Connection) -> dict[str, float]:
        """Return the titles that were acknowledged and are nowhere, and when they were."""
        # First: what is added while the database is asked need not be there.
        added = {title: at for visitor in self.all for title, at in list(visitor.added.items())}
        there = {title for title, _ in titles(database)}
        return {title: at for title, at in added.items() if title not in there}

    @staticmethod
    def doubled(database: psycopg.Connection) -> int:
        """Count the titles that are there more than once."""
        return sum(number > 1 for _, number in titles(database))


def titles(database: psycopg.Connection) -> list[tuple[str, int]]:
    """Return what visitors added and is there, in the list or in the trash, and how often."""
    return database.execute(
        "SELECT title, count(*) FROM ("
        " SELECT title FROM todos_todo UNION ALL SELECT title FROM todos_trashedtodo"
        ") AS everywhere WHERE title LIKE 'visitor-%' GROUP BY title"
    ).fetchall()
