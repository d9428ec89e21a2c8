"""What the sweep costs, beside other ways to delete the same todos, on PostgreSQL 18.

    python -m tests.benchmarks.sweep --users 10000 --todos 1000000 --runs 3

For each way: the seconds it takes, the ratio to the one raw DELETE of the same run, its longest
transaction, and what it does to somebody who keeps editing a todo meanwhile (their 99th percentile,
beside what it is when nothing else runs). Medians of the runs. `--json` prints one line instead.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter, sleep

import django
import psycopg

from tests.servers import postgresql_server

FILL = """
    TRUNCATE todos_todo RESTART IDENTITY;
    INSERT INTO todos_todo (user_id, title, description, created_at, completed_at)
    SELECT 1 + (random() * (%(users)s - 1))::int, 'Todo ' || number, '', now() - interval '90 days',
           CASE WHEN number %% 2 = 0 THEN now() - interval '40 days' END
    FROM generate_series(1, %(todos)s) AS number;
"""
PEOPLE = """
    INSERT INTO accounts_user (username, password, is_superuser, first_name, last_name, email,
        is_staff, is_active, date_joined, auto_cleanup, keep_completed_days)
    SELECT 'user' || number, '', false, '', '', '', false, number %% 50 <> 1, now(),
           number %% 30 <> 1, CASE WHEN number %% 40 = 1 THEN 7 END
    FROM generate_series(1, %(users)s) AS number;
"""


@dataclass
class Measurement:
    """One run of one way."""

    seconds: float
    longest: float
    deleted: int
    p99: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--todos", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidy-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        with postgresql_server(Path(folder), durable=True) as host:
            os.environ.update(
                DJANGO_SETTINGS_MODULE="project.settings",
                DJANGO_SECRET_KEY="benchmark",
                DJANGO_ALLOWED_HOSTS="localhost",
                DATABASE_URL=f"postgresql://postgres@/postgres?host={host}",
                REDIS_URL="redis://localhost",
            )
            django.setup()
            results = measure(host, options)
    if options.json:
        print(json.dumps(results))  # noqa: T201  (a program's output)
    else:
        print_table(results, options)


def measure(host: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the medians of each way, by its name."""
    from django.core.management import call_command  # noqa: PLC0415  (needs the settings)

    from tests.benchmarks.ways import WAYS  # noqa: PLC0415  (as above)

    call_command("migrate", verbosity=0)
    with psycopg.connect(host=str(host), user="postgres", autocommit=True) as database:
        sizes = {"users": options.users, "todos": options.todos}
        database.execute(psycopg.ClientCursor(database).mogrify(PEOPLE, sizes))
        runs: dict[str, list[Measurement]] = {name: [] for name in WAYS}
        for _ in range(options.runs):
            for name, way in WAYS.items():
                database.execute(psycopg.ClientCursor(database).mogrify(FILL, sizes))
                database.execute("VACUUM ANALYZE")
                database.execute("CHECKPOINT")
                runs[name].append(measured(host, way))
    return {name: medians(measurements, runs["one DELETE"]) for name, measurements in runs.items()}


def measured(host: Path, way: Callable[[Callable[[], None]], int]) -> Measurement:
    """Run one way, beside somebody who keeps editing."""
    commits: list[float] = []
    with editing(host) as waits:
        started = perf_counter()
        deleted = way(lambda: commits.append(perf_counter()))
        seconds = perf_counter() - started
    return Measurement(
        seconds=seconds,
        longest=max(after - before for before, after in pairwise([started, *commits])),
        deleted=deleted,
        # Of a few edits that all had to wait, the longest.
        p99=statistics.quantiles(waits, n=100)[98] if len(waits) >= 100 else max(waits),
    )


@contextmanager
def editing(host: Path) -> Iterator[list[float]]:
    """Have somebody edit completed todos, one after another; yield how long each edit took."""
    waits: list[float] = []
    done = threading.Event()

    def edit() -> None:
        with psycopg.connect(host=str(host), user="postgres", autocommit=True) as database:
            todo = 0
            while not done.is_set():
                todo += 1_000
                started = perf_counter()
                database.execute("UPDATE todos_todo SET title = 'edited' WHERE id = %s", [todo])
                waits.append(perf_counter() - started)
                sleep(0.001)

    person = threading.Thread(target=edit)
    person.start()
    try:
        yield waits
    finally:
        done.set()
        person.join()


def medians(measurements: list[Measurement], raw: list[Measurement]) -> dict[str, float]:
    """Return the medians of the runs, and of their ratios to the raw DELETE of the same run."""
    ratios = [one.seconds / other.seconds for one, other in zip(measurements, raw, strict=True)]
    return {
        "seconds": statistics.median(one.seconds for one in measurements),
        "times_the_raw_delete": statistics.median(ratios),
        "longest_transaction_ms": 1000 * statistics.median(one.longest for one in measurements),
        "p99_of_an_edit_ms": 1000 * statistics.median(one.p99 for one in measurements),
        "deleted": statistics.median(one.deleted for one in measurements),
    }


def print_table(results: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    """Print the results for a person."""
    print(  # noqa: T201  (a program's output)
        f"{options.todos:,} todos of {options.users:,} users, half completed; "
        f"medians of {options.runs} runs\n\n"
        f"{'way':<16}{'seconds':>9}{'per raw':>9}{'longest tx':>13}{'p99 of an edit':>17}"
    )
    for name, row in results.items():
        ratio = f"{row['times_the_raw_delete']:.2f}" if row["deleted"] else "-"
        print(  # noqa: T201
            f"{name:<16}{row['seconds']:>9.2f}{ratio:>9}"
            f"{row['longest_transaction_ms']:>10.0f} ms{row['p99_of_an_edit_ms']:>14.1f} ms"
        )


if __name__ == "__main__":
    main()
