"""What staff wait for: each page with 100,000 runs and a million todos.

    python -m tests.benchmarks.pages

In this process, once it is warm, on PostgreSQL and a broker of its own. Ends with 1 if a page takes
more than 300 ms or more than 15 queries.
"""

import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.benchmarks.figures import Figure, header, milliseconds
from tests.benchmarks.postgresql import Server, server
from tests.benchmarks.stage import Size, say
from tests.servers import valkey_server

RUNS = 100_000
SIZE = Size(users=10_000, todos=1_000_000)

#: Looks at each page, after one that does not count.
LOOKS = 5

#: Pings of the last day and more, and every fiftieth a cleanup, one in a thousand failed.
LEDGER = """
    TRUNCATE tasks_taskrun RESTART IDENTITY;
    INSERT INTO tasks_taskrun (task, trigger, scheduled_for, message_id, queue, arguments, state,
        created_at, due_at, sent_at, started_at, finished_at, worker, sends, attempts, failures,
        crashes, progress, result, error, reason)
    SELECT CASE WHEN number %% 50 = 0 THEN 'todo.cleanup' ELSE 'ping' END, 'schedule', slot,
           gen_random_uuid(), 'default', '{}',
           CASE WHEN number %% 1000 = 0 THEN 'failed' ELSE 'succeeded' END,
           slot, slot, slot, slot, slot + interval '1 second', 'worker-1, process 12', 1, 1, 0, 0,
           '{}', '{"users_processed": 10, "todos_deleted": 1000}',
           CASE WHEN number %% 1000 = 0 THEN 'ValueError: an example' ELSE '' END, ''
    FROM generate_series(1, %(runs)s) AS number,
         LATERAL (SELECT now() - (%(runs)s - number) * interval '25 seconds' AS slot) slots;
"""
TRASH = """
    INSERT INTO todos_trashedtodo (id, user_id, title, description, created_at, completed_at,
        trashed_at, run_id)
    SELECT 1000000 + number, 1 + number %% %(users)s, 'Trashed ' || number, '', now(), now(),
           now() - number * interval '2 seconds', number / 5000
    FROM generate_series(1, 200000) AS number;
"""

PROCESSES = """
    INSERT INTO tasks_process (id, kind, host, pid, queues)
    VALUES (gen_random_uuid(), 'worker', 'worker-1', 12, '["default"]'),
           (gen_random_uuid(), 'scheduler', 'scheduler-1', 7, '[]');
"""

PAGES = (
    *("/admin/", "/admin/background/", "/admin/background/dead-letters/"),
    *("/admin/tasks/taskrun/", "/admin/tasks/taskrun/?state__exact=failed&task=todo.cleanup"),
    *("/admin/tasks/taskrun/?q=cleanup", "/admin/tasks/taskrun/99950/change/"),
    *("/admin/tasks/schedule/", "/admin/todos/todo/", "/admin/todos/todo/?state=completed"),
    *("/admin/todos/trashedtodo/", "/admin/accounts/user/"),
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
            stage.execute(TRASH, users=SIZE.users)
            stage.execute(PROCESSES)
            stage.settle()
            figures = look_at_pages(stage, folder / "static")
    sys.stdout.write("\n".join([header(), *map(str, figures)]) + "\n")
    sys.exit(1 if any(figure.missed for figure in figures) else 0)


def look_at_pages(stage: Server, static: Path) -> list[Figure]:
    """Look at each page, as staff with every right; static files are collected in a folder."""
    from django.core.management import call_command  # noqa: PLC0415  (needs the settings)
    from django.db import connection  # noqa: PLC0415  (as above)
    from django.test import Client  # noqa: PLC0415  (as above)
    from django.test.utils import CaptureQueriesContext, override_settings  # noqa: PLC0415  (as above)

    from accounts.models import User  # noqa: PLC0415  (as above)
    from tasks.engine.scheduler.defaults import add_missing_schedules  # noqa: PLC0415  (as above)

    add_missing_schedules()
    settings = override_settings(STATIC_ROOT=static)
    settings.enable()
    call_command("collectstatic", verbosity=0, interactive=False)
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("boss"))
    figures = []
    for page in PAGES:
        times = []
        for _ in range(1 + stage.runs):
            started = perf_counter()
            response = client.get(page, secure=True)
            times.append(perf_counter() - started)
            assert response.status_code == 200, page
        with CaptureQueriesContext(connection) as queries:
            client.get(page, secure=True)
        say(f"  {page}: {len(queries)} queries")
        figures += [
            milliseconds(page, times[1:], at_most=300),
            Figure(what="    queries", runs=[len(queries)], at_most=15),
        ]
    settings.disable()
    return figures


if __name__ == "__main__":
    main()
