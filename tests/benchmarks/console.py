"""What operators wait for: the console with a million runs, a tenth of which failed.

    python -m tests.benchmarks.console

In this process, once it is warm, on PostgreSQL and a broker of its own. Ends with 1 if a page takes
more than 150 ms or more than 15 queries, a search for a text longer than it is given, or if the
indexes that all this takes make every run too expensive (`writing.py`). The list of runs is looked
at through every combination of its filters; the slowest counts. `--fast` leaves most of them out.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.benchmarks.figures import Figure, header, milliseconds
from tests.benchmarks.postgresql import Server, server
from tests.benchmarks.stage import Size, say
from tests.benchmarks.writing import write_cost
from tests.servers import valkey_server

if TYPE_CHECKING:
    from django.test import Client

RUNS = 1_000_000
SIZE = Size(users=10, todos=10)

#: Looks at each page, after one that does not count.
LOOKS = 5

MOST_MS, MOST_QUERIES = 150, 15

#: Nine runs in ten are pings; some tasks have never run; each tenth run failed, and nobody knows.
LEDGER = """
    TRUNCATE tasks_taskrun RESTART IDENTITY CASCADE;
    INSERT INTO tasks_taskrun (task, trigger, scheduled_for, message_id, queue, arguments, state,
        created_at, due_at, sent_at, started_at, finished_at, worker, sends, attempts, failures,
        crashes, progress, result, error, reason, has_errors, request_id)
    SELECT CASE WHEN number %% 100 < 70 THEN 'ping' WHEN number %% 100 < 90 THEN 'todo.cleanup'
                WHEN number %% 100 < 99 THEN 'todo.receipts' ELSE 'todo.purge' END,
           CASE WHEN number %% 5000 = 7 THEN 'admin' ELSE 'schedule' END,
           slot, gen_random_uuid(), 'default',
           json_build_object('args', '{}'::json, 'kwargs', json_build_object('user_id', number)),
           CASE WHEN number %% 10 = 0 THEN 'failed' WHEN number %% 10000 = 7 THEN 'cancelled'
                ELSE 'succeeded' END,
           slot, slot, slot, slot,
           slot + CASE WHEN number %% 2000 = 7 THEN interval '10 minutes'
                       ELSE interval '1 second' END,
           'worker-1, process 12', 1, 1, 0, 0, '{}',
           '{"users_processed": 10, "todos_deleted": 1000}',
           CASE WHEN number %% 10 <> 0 THEN ''
                ELSE repeat(E'  File "mail.py", line 12, in send\n    raise error\n', 20)
                     || CASE number %% 3 WHEN 0 THEN 'TimeoutError: no answer'
                                         ELSE 'KeyError: ''name''' END END,
           '', number %% 20000 = 13,
           CASE WHEN number %% 5000 = 7 THEN 'request-' || number ELSE '' END
    FROM generate_series(1, %(runs)s) AS number,
         LATERAL (SELECT now() - (%(runs)s - number) * interval '7.776 seconds' AS slot) slots;
    UPDATE tasks_taskrun SET state = 'queued', finished_at = NULL WHERE id > %(runs)s - 30;
    INSERT INTO tasks_process (id, kind, host, pid, queues)
    VALUES (gen_random_uuid(), 'worker', 'worker-1', 12, '["default", "operators"]'),
           (gen_random_uuid(), 'scheduler', 'scheduler-1', 7, '[]');
"""

PAGES = (
    *("/admin/background/", "/admin/background/dead-letters/", "/admin/tasks/schedule/"),
    *("/admin/background/tasks/", "/admin/background/tasks/todo.cleanup/start/"),
    *(f"/admin/background/tasks/ping/charts/?over={period}" for period in ("24h", "7d", "30d")),
    *("/admin/tasks/process/", "/admin/tasks/schedule/1/change/"),
    *("/admin/tasks/taskrun/", f"/admin/tasks/taskrun/{RUNS // 2}/change/"),
    *(f"/admin/tasks/taskrun/?before={RUNS // 2}", "/admin/tasks/taskrun/?search=request-5007"),
)

#: What a transaction begins and ends with is no query.
CONTROL = ("BEGIN", "SET LOCAL", "COMMIT", "SAVEPOINT", "RELEASE")

LIST = "/admin/tasks/taskrun/?"

#: What is looked for, in every combination.
FILTERS: dict[str, Sequence[str]] = {
    "task": ["", "todo.cleanup", "todo.purge", "sessions.clear"],
    "state": ["", "failed", "unacknowledged", "unfinished", "cancelled", "with_errors"],
    "trigger": ["", "admin"],
    "days": ["", "80:79", "30:0"],
    "at_least": ["", "60"],
}

TEXTS = (
    *({"error": "no answer"}, {"error": "nowhere"}, {"arguments": '"user_id": 500000'}),
    *({"search": "worker-7"}, {"state": "failed", "task": "todo.purge", "error": "nowhere"}),
)


def main() -> None:
    """Fill the tables, look at the pages, and print what it took."""
    with tempfile.TemporaryDirectory(prefix="tidy-") as name:
        folder = Path(name)
        (folder / "valkey").mkdir()
        with (
            valkey_server(folder / "valkey") as broker,
            server(folder, SIZE, LOOKS, broker=broker) as stage,
        ):
            say("filling the tables")
            stage.fill(SIZE)
            stage.execute(LEDGER, runs=RUNS)
            stage.settle()
            figures = measure(stage, folder / "static", fast="--fast" in sys.argv)
    sys.stdout.write("\n".join([header(), *map(str, figures)]) + "\n")
    sys.exit(1 if any(figure.missed for figure in figures) else 0)


def measure(stage: Server, static: Path, *, fast: bool) -> list[Figure]:
    from tasks.engine.console.run_list import TEXT_SEARCH_SECONDS  # noqa: PLC0415  (needs settings)

    figures = [count_hours()]
    with operator(static) as client:
        for page in PAGES:
            figures += look(client, page, looks=stage.runs)
        figures += slowest(
            "list: the slowest of all filters", client, addresses(), MOST_MS, fast=fast
        )
        texts = [LIST + urlencode(given) for given in TEXTS]
        box = MOST_MS + 1000 * TEXT_SEARCH_SECONDS
        figures += slowest("list: the slowest search for a text", client, texts, box, fast=False)
        figures += write_cost()
        figures.append(acknowledge_all())
    return figures


def count_hours() -> Figure:
    """Count all hours, as the schedulers have done long before anybody looks."""
    from tasks.engine.operations.counting import count_next_hours  # noqa: PLC0415  (needs settings)

    started = perf_counter()
    while count_next_hours():
        pass
    return Figure(what="count all hours", runs=[perf_counter() - started], unit="s")


def addresses() -> list[str]:
    """Return the list's address for every combination of filters that no text is part of."""
    from django.utils import timezone  # noqa: PLC0415  (needs the settings)

    found = []
    for values in product(*FILTERS.values()):
        given = {name: value for name, value in zip(FILTERS, values, strict=True) if value}
        if days := given.pop("days", ""):
            now = timezone.now()
            first, last = (now - timedelta(days=int(ago)) for ago in days.split(":"))
            given |= {"since": first.isoformat(), "until": last.isoformat()}
        found.append(LIST + urlencode(given))
    return found


def slowest(
    what: str, client: "Client", pages: Sequence[str], at_most: float, *, fast: bool
) -> list[Figure]:
    """Look at pages; return the figures of the slowest, and the most queries of any."""
    looked = [look(client, page, looks=3, at_most=at_most) for page in pages[:: 7 if fast else 1]]
    times, queries = (
        max(each, key=lambda figure: figure.value) for each in zip(*looked, strict=True)
    )
    note = f"of {len(looked)}: {times.what}"
    return [
        Figure(what=what, runs=times.runs, unit="ms", at_most=at_most, note=note),
        Figure(what="    queries", runs=queries.runs, at_most=MOST_QUERIES, note=queries.note),
    ]


def look(client: "Client", page: str, *, looks: int, at_most: float = MOST_MS) -> list[Figure]:
    """Look at a page; return how long it took, and how many queries."""
    from django.db import connection  # noqa: PLC0415  (needs the settings)
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415  (as above)

    times = []
    for _ in range(1 + looks):
        started = perf_counter()
        response = client.get(page, secure=True)
        times.append(perf_counter() - started)
        assert response.status_code == 200, page
    with CaptureQueriesContext(connection) as queries:
        client.get(page, secure=True)
    given_up = "given up" if b"The search was given up" in response.content else ""
    # A page that reads within a time limit opens a transaction for it.
    number = sum(not query["sql"].startswith(CONTROL) for query in queries)
    say(f"  {page}: {1000 * min(times):.0f} ms, {number} queries {given_up}")
    return [
        milliseconds(page, times[1:], at_most=at_most, note=given_up),
        Figure(what="    queries", runs=[number], at_most=MOST_QUERIES),
    ]


def acknowledge_all() -> Figure:
    """Acknowledge all failures by one bulk operation, in this process."""
    from accounts.models import User  # noqa: PLC0415  (needs the settings)
    from tasks.engine.actors import runs_acknowledge  # noqa: PLC0415  (as above)
    from tasks.engine.models import Trigger  # noqa: PLC0415  (as above)
    from tasks.engine.operations.selection import Selection, bound_now  # noqa: PLC0415  (as above)
    from tasks.engine.runs.enqueue import Request  # noqa: PLC0415  (as above)
    from tasks.engine.runs.inline import run_inline  # noqa: PLC0415  (as above)

    up_to, until = bound_now()
    request = Request(Trigger.ADMIN, User.objects.get(username="boss"))
    arguments = Selection(up_to=up_to, until=until).as_arguments()
    started = perf_counter()
    report = run_inline(request, runs_acknowledge.message(**arguments))
    seconds = perf_counter() - started
    note = f"{report['done']:,} runs"
    return Figure(what="acknowledge all failures", runs=[seconds], unit="s", note=note)


@contextmanager
def operator(static: Path) -> Iterator["Client"]:
    """Log in as who may do everything; static files are collected in a folder."""
    from django.core.management import call_command  # noqa: PLC0415  (needs the settings)
    from django.test import Client  # noqa: PLC0415  (as above)
    from django.test.utils import override_settings  # noqa: PLC0415  (as above)

    from accounts.models import User  # noqa: PLC0415  (as above)
    from tasks.engine.scheduler.defaults import add_missing_schedules  # noqa: PLC0415  (as above)

    add_missing_schedules()
    with override_settings(STATIC_ROOT=static):
        call_command("collectstatic", verbosity=0, interactive=False)
        client = Client(headers={"host": "localhost"})
        client.force_login(User.objects.create_superuser("boss"))
        yield client


if __name__ == "__main__":
    main()
