"""What people wait for: their list, as gunicorn serves it from PostgreSQL.

    python -m tests.benchmarks.visits

One worker of gunicorn with four threads, warm, under production settings; a list of 10, 1,000 and
10,000 todos, half of them completed, among a million of other people's. First one visitor at a
time, then four at once; then one, while a sweep takes half a million todos. Ends with 1 if a bar is
missed: 30 ms in the middle at 10,000 todos, 6 queries, 60 kB of a first visit, and during a sweep a
p99 of three times the p99 without one.
"""

import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from gzip import decompress
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from time import perf_counter

from tests.benchmarks.figures import Figure, header, milliseconds
from tests.benchmarks.postgresql import Server, server
from tests.benchmarks.stage import Size, say
from tests.checkout import copy_project
from tests.processes import Tidy
from tests.servers import valkey_server
from tests.sites import collect_static, serving

SIZE = Size(users=10_000, todos=1_000_000)

#: Todos on the list that is looked at.
LISTS = (10, 1_000, 10_000)

#: Visits that are timed, after some that are not.
VISITS, WARMING = 300, 40
CONNECTIONS = 4

#: The person whose list it is, the last of the people.
VISITOR = SIZE.users

LIST = """
    DELETE FROM todos_todo WHERE user_id = %(user)s;
    INSERT INTO todos_todo (user_id, title, description, due_on, created_at, completed_at)
    SELECT %(user)s, 'Todo ' || number, 'Some words about it', current_date + number %% 60 - 5,
           now() - interval '9 days',
           CASE WHEN number %% 2 = 0 THEN now() - number * interval '1 second' END
    FROM generate_series(1, %(todos)s) AS number;
"""


def main() -> None:
    """Fill the tables, visit the list, and print what it took."""
    with tempfile.TemporaryDirectory(prefix="tidy-") as name:
        folder = Path(name)
        (folder / "valkey").mkdir()
        with (
            valkey_server(folder / "valkey") as broker,
            server(folder, SIZE, 1, broker=broker) as stage,
            gunicorn(folder, broker) as port,
        ):
            say("filling the tables")
            stage.fill(SIZE)
            figures = visit(stage, port)
    sys.stdout.write("\n".join([header(), *map(str, figures)]) + "\n")
    sys.exit(1 if any(figure.missed for figure in figures) else 0)


@contextmanager
def gunicorn(folder: Path, broker: str, *, workers: int = 1) -> Iterator[int]:
    """Serve the site from a copy of the project until the block ends; yield its port."""
    import os  # noqa: PLC0415  (what `server` has put into the environment)

    settings = {**os.environ, "REDIS_URL": broker, "DJANGO_HTTPS": "false"}
    tidy = Tidy(copy_project(folder / "checkout"), settings)
    options = (f"--workers={workers}", f"--threads={CONNECTIONS}")
    collect_static(tidy)
    with serving(tidy, folder / "gunicorn.log", *options) as site:
        yield site.port


class Visitor:
    """A browser of somebody who is logged in, with one connection."""

    def __init__(self, port: int, session: str) -> None:
        self._connection = HTTPConnection("localhost", port, timeout=30)
        self._headers = {"Cookie": f"sessionid={session}", "Accept-Encoding": "gzip"}

    def get(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of a page, as it was sent."""
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def timed_visits(self, count: int) -> list[float]:
        """Return how long each of so many visits to the list took (seconds)."""
        took = []
        for _ in range(count):
            started = perf_counter()
            status, page = self.get("/")
            took.append(perf_counter() - started)
            assert status == 200
            assert b"Todo " in decompress(page)  # Not the page of who is not logged in.
        return took


def visit(stage: Server, port: int) -> list[Figure]:
    session = log_in(VISITOR)
    figures = []
    for todos in LISTS:
        stage.execute(LIST, user=VISITOR, todos=todos)
        stage.settle()
        say(f"{todos:,} todos")
        figures += visits_to_a_list(port, session, todos)
        figures.append(queries(session, todos))
    figures += first_visit(port, session)
    return figures + visits_beside_a_sweep(port, session)


def log_in(user_id: int) -> str:
    """Return the key of a session of this user."""
    from django.contrib.auth import login  # noqa: PLC0415  (needs the settings)
    from django.http import HttpRequest  # noqa: PLC0415  (as above)

    from accounts.models import User  # noqa: PLC0415  (as above)
    from accounts.sessions import SessionStore  # noqa: PLC0415  (as above)

    request = HttpRequest()
    request.session = SessionStore()
    request.META["REMOTE_ADDR"] = "127.0.0.1"
    login(request, User.objects.get(pk=user_id))
    request.session.save()
    return str(request.session.session_key)


def visits_to_a_list(port: int, session: str, todos: int) -> list[Figure]:
    """Visit a list, one by one and then by several at once."""
    Visitor(port, session).timed_visits(WARMING)
    alone = Visitor(port, session).timed_visits(VISITS)
    started = perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        together = pool.map(
            lambda _: Visitor(port, session).timed_visits(VISITS // CONNECTIONS),
            range(CONNECTIONS),
        )
        crowded = [took for visitor in together for took in visitor]
    rate = len(crowded) / (perf_counter() - started)
    bar = 30 if todos == max(LISTS) else None
    return [
        milliseconds(f"list of {todos:,}: p50", [statistics.median(alone)], at_most=bar),
        milliseconds(f"list of {todos:,}: p99", [p99(alone)]),
        milliseconds(f"list of {todos:,}: p99, {CONNECTIONS} visitors", [p99(crowded)]),
        Figure(what=f"list of {todos:,}: {CONNECTIONS} visitors", runs=[rate], unit="/s"),
    ]


def queries(session: str, todos: int) -> Figure:
    """Count the queries of a visit, in this process."""
    from django.db import connection  # noqa: PLC0415  (needs the settings)
    from django.test import Client  # noqa: PLC0415  (as above)
    from django.test.utils import (  # noqa: PLC0415  (as above)
        CaptureQueriesContext,
        override_settings,
    )

    plain = {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"}}
    static = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    client = Client(headers={"host": "localhost"})
    client.cookies["sessionid"] = session
    with override_settings(STORAGES={**plain, "staticfiles": static}):
        client.get("/", secure=True)
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/", secure=True).status_code == 200
    return Figure(what=f"list of {todos:,}: queries", runs=[len(captured)], at_most=6)


def first_visit(port: int, session: str) -> list[Figure]:
    """Weigh the first visit: the page, and all that it loads, as they are sent."""
    visitor = Visitor(port, session)
    _, page = visitor.get("/")
    text = decompress(page).decode()
    loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text), "a third party"
    sizes = [len(page), *(len(visitor.get(path)[1]) for path in loaded)]
    note = f"the page {sizes[0] / 1000:.0f} kB, and {len(loaded)} files"
    return [Figure(what="first visit", runs=[sum(sizes) / 1000], unit="kB", at_most=60, note=note)]


def visits_beside_a_sweep(port: int, session: str) -> list[Figure]:
    """Compare the p99 of visits while a sweep works with that of visits without one."""
    from tasks.actors import todo_cleanup  # noqa: PLC0415  (needs the settings)
    from tests.benchmarks.runs import Watch, perform  # noqa: PLC0415  (as above)

    idle = Visitor(port, session).timed_visits(VISITS)
    over = Event()

    def until_over() -> list[float]:
        took: list[float] = []
        visitor = Visitor(port, session)
        while not over.is_set():
            took += visitor.timed_visits(1)
        return took

    with ThreadPoolExecutor(1) as pool:
        visits = pool.submit(until_over)
        started = perf_counter()
        _, report = perform(todo_cleanup, Watch(), keep_days=1)
        seconds = perf_counter() - started
        over.set()
        busy = visits.result()
    note = f"{len(busy)} visits beside {report['todos_deleted']:,} todos in {seconds:.1f} s"
    return [
        milliseconds("beside nothing: p99", [p99(idle)]),
        milliseconds("beside a sweep: p99", [p99(busy)], note=note),
        Figure(
            what="beside a sweep: p99, by that of nothing", runs=[p99(busy) / p99(idle)], at_most=3
        ),
    ]


def p99(took: list[float]) -> float:
    """Return what 99 % took less than; of few, the longest."""
    return statistics.quantiles(took, n=100)[98] if len(took) >= 100 else max(took)


if __name__ == "__main__":
    main()
