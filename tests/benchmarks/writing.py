"""Case: what the indexes by which the console finds runs ask of every run.

Each life of a run (created, started, succeeded) writes to all indexes of the ledger. It is measured
with those indexes and without them, in turns, in transactions that are rolled back.
"""

from collections.abc import Sequence
from time import perf_counter

from tests.benchmarks.figures import Figure, ratios

#: Of `tasks/engine/migrations/0017_find_runs.py`.
INDEXES = (
    *("tasks_run_task", "tasks_run_not_well", "tasks_run_with_errors", "tasks_run_by_hand"),
    *("tasks_run_request", "tasks_run_created_at"),
)

LIVES, TURNS = 500, 5

MOST_TIME, MOST_WAL = 1.25, 1.5


def write_cost() -> list[Figure]:
    """Return the ratios of time and WAL with the indexes to those without."""
    live(INDEXES)  # Warm up.
    turns = [(live(()), live(INDEXES)) for _ in range(TURNS)]
    (seconds, wal), (bare_seconds, bare_wal) = (
        [[one[part] for one in side] for part in range(2)] for side in zip(*turns, strict=True)
    )
    note = f"{1000 * min(seconds) / LIVES:.2f} ms, {min(wal) / LIVES / 1000:.1f} kB"
    what = "a run's life, by one without the lists' indexes"
    return [
        ratios(f"{what}: time", seconds, bare_seconds, at_most=MOST_TIME, note=note),
        ratios(f"{what}: WAL", wal, bare_wal, at_most=MOST_WAL),
    ]


def live(without: Sequence[str]) -> tuple[float, float]:
    """Return how long (s) some runs' lives take without some indexes, and their WAL (bytes)."""
    from django.db import connection, transaction  # noqa: PLC0415  (needs the settings)

    from tasks.actors import todo_cleanup  # noqa: PLC0415  (as above)
    from tasks.engine.models import Process, ProcessKind, Trigger  # noqa: PLC0415  (as above)
    from tasks.engine.runs.enqueue import Request  # noqa: PLC0415  (as above)

    with transaction.atomic(), connection.cursor() as cursor:
        for name in without:
            cursor.execute(f"DROP INDEX {name}")
        process = Process.objects.create(kind=ProcessKind.WORKER, host="worker-2", pid=1)
        cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        (before,) = cursor.fetchone()
        started = perf_counter()
        for number in range(LIVES):
            run = Request(Trigger.API).create(todo_cleanup.message(user_id=number + 1))
            assert run.start(process.pk, delivery=run.delivery)
            assert run.succeed({"users_processed": 1, "todos_deleted": 3})
        seconds = perf_counter() - started
        cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        (after,) = cursor.fetchone()
        transaction.set_rollback(True)
    return seconds, float(after - before)
