"""Asks a site as fast as it answers, in a process of its own, over plain sockets."""

import json
import socket
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from time import perf_counter, process_time

from tests.benchmarks.visits import p99

#: How long to wait for an answer.
TIMEOUT_SECONDS = 30

#: Numbers of requests that one connection never reaches.
MANY = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, again and again, by several connections at once.

    Attributes:
        path: with the query.
        secrets: tokens, each of which is used in its turn.
        body: of JSON, with `%d` for the number of the request; empty to read. One with a body has
            an Idempotency-Key of its own, too.
        status: of every answer.
        items: the name of the list that every answer has; empty for one todo.
        keeps_alive: whether a connection serves for more than one request.
    """

    path: str
    secrets: Sequence[str]
    body: str = ""
    status: int = 200
    items: str = ""
    keeps_alive: bool = True

    def request(self, number: int, turn: str) -> bytes:
        """Return the request of a number, which is new in each turn."""
        secret = self.secrets[number % len(self.secrets)]
        lines = [
            f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {secret}",
            f"Connection: {'keep-alive' if self.keeps_alive else 'close'}",
        ]
        body = b""
        if self.body:
            body = (self.body % number).encode()
            lines += [
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                f"Idempotency-Key: {turn}-{number}",
            ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Answers:
    """What one turn found out.

    Attributes:
        took: how long each request took (seconds).
        seconds: how long all of it took.
        busy: the part of that for which the asking process used a core.
    """

    took: list[float]
    seconds: float
    busy: float

    def __str__(self) -> str:
        return f"{self.rate:.0f}/s"

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.took) / self.seconds

    @property
    def p50(self) -> float:
        """What half of them took less than (seconds)."""
        return median(self.took)

    @property
    def p99(self) -> float:
        """What 99 % took less than (seconds)."""
        return p99(self.took)


class Connection:
    """A connection that is made when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes, *, keeps_alive: bool) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._receive()
        head, _, body = got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._receive()
        if not keeps_alive:
            self.close()
        return int(head.split(maxsplit=2)[1]), body

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _receive(self) -> bytes:
        assert self._socket
        part = self._socket.recv(65536)
        assert part, "The site has closed the connection."
        return part


def asked(port: int, question: Question, *, connections: int, seconds: float) -> Answers:
    """Ask for so long, in a process of its own; every answer is as the question says.

    Args:
        port: of the site.
        question: what to ask.
        connections: how many at once, each of which waits for its answer.
        seconds: for how long.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(ask, port, question, connections, seconds).result()


def ask(port: int, question: Question, connections: int, seconds: float) -> Answers:
    """Ask in this process (see `asked`)."""
    turn = f"{perf_counter():.6f}"
    busy, began = process_time(), perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        each = pool.map(
            lambda number: ask_alone(port, question, turn, number * MANY, seconds),
            range(connections),
        )
        found = [one for answers in each for one in answers]
    elapsed = perf_counter() - began
    busy = (process_time() - busy) / elapsed
    for _, status, body in found:
        check(question, status, body)
    return Answers([took for took, _, _ in found], elapsed, busy)


def ask_alone(
    port: int, question: Question, turn: str, first: int, seconds: float
) -> list[tuple[float, int, bytes]]:
    """Ask on one connection; return how long each request took, its status and its body."""
    found = []
    connection = Connection(port)
    # Connections begin with different tokens.
    number = first + first // MANY * 7
    over = perf_counter() + seconds
    while (began := perf_counter()) < over:
        request = question.request(number, turn)
        status, body = connection.ask(request, keeps_alive=question.keeps_alive)
        found.append((perf_counter() - began, status, body))
        number += 1
    connection.close()
    return found


#: What each todo has.
FIELDS = {
    *("id", "title", "description", "due_on"),
    *("created_at", "completed_at", "restored_at", "leaves_at", "etag"),
}


def check(question: Question, status: int, body: bytes) -> None:
    """Check that an answer is what was asked for, in full."""
    assert status == question.status, (status, body)
    found = json.loads(body)
    todos = found[question.items] if question.items else [found]
    assert len(todos) == (50 if question.items else 1), found
    assert all(set(todo) == FIELDS for todo in todos), found
