"""What a scrape of /metrics, and a scheduler's look for alerts, cost with a million todos.

    python -m tests.benchmarks.scrape

In this process, once it is warm, on PostgreSQL and a broker of its own: each part of a scrape, with
the plan of the query that adds up the ledger, and the CPU time of one look of a scheduler that
alerts. Ends with 1 if a part takes more than 500 ms, or all more than 12 queries.
"""

import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from tests.benchmarks.figures import Figure, header, milliseconds
from tests.benchmarks.pages import LEDGER, SIZE
from tests.benchmarks.postgresql import Server, server
from tests.benchmarks.stage import say
from tests.servers import valkey_server

#: Runs in the ledger: as after 90 days, and a great many.
LEDGERS = (2_000, 100_000)

#: How often it is looked, after once that does not count.
LOOKS = 9


def main() -> None:
    """Fill the tables, scrape, and print what it took."""
    with tempfile.TemporaryDirectory(prefix="tidy-") as name:
        folder = Path(name)
        (folder / "valkey").mkdir()
        with (
            valkey_server(folder / "valkey") as broker,
            server(folder, SIZE, LOOKS, broker=broker) as stage,
        ):
            say("filling the tables")
            stage.fill(SIZE)
            figures = [figure for runs in LEDGERS for figure in scrapes(stage, runs)]
    sys.stdout.write("\n".join([header(), *map(str, figures)]) + "\n")
    sys.exit(1 if any(figure.missed for figure in figures) else 0)


def scrapes(stage: Server, runs: int) -> list[Figure]:
    """Scrape a ledger with so many runs."""
    from django.db import connection  # noqa: PLC0415  (needs the settings)
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415  (as above)

    from project.metrics.reading import read_broker, read_runs, read_status  # noqa: PLC0415
    from tasks.engine.alerts.looking import look  # noqa: PLC0415
    from tasks.engine.scheduler.defaults import add_missing_schedules  # noqa: PLC0415

    add_missing_schedules()
    stage.execute(LEDGER, runs=runs)
    stage.settle()
    figures = []
    for what, read in (("status", read_status), ("runs", read_runs), ("broker", read_broker)):
        times = []
        for _ in range(1 + stage.runs):
            started = perf_counter()
            list(read())
            times.append(perf_counter() - started)
        figures.append(milliseconds(f"{runs:,} runs: {what}", times[1:], at_most=500))
    used = []
    for _ in range(1 + stage.runs):
        before = process_time()
        look([])
        used.append(process_time() - before)
    figures.append(milliseconds(f"{runs:,} runs: CPU time of a look for alerts", used[1:]))
    with CaptureQueriesContext(connection) as queries:
        list(read_status())
        list(read_runs())
    statements = [query["sql"] for query in queries if query["sql"].startswith(("SELECT", "("))]
    say(plan_of(stage, next(sql for sql in statements if "tasks_runtotal" in sql)))
    figures.append(Figure(what="    queries", runs=[len(statements)], at_most=12))
    return figures


def plan_of(stage: Server, statement: str) -> str:
    """Return how PostgreSQL answers a query, without the expressions."""
    rows = stage.database.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}".encode())
    lines = [str(row[0]) for row in rows]
    return "\n".join(line for line in lines if "Key:" not in line and "Buffers:" not in line)


if __name__ == "__main__":
    main()
