"""How long until the run of a worker that was killed in the middle is started by another.

    python -m tests.benchmarks.recovery --kills 3

On default settings, with PostgreSQL, Valkey, one scheduler and two workers. Minutes long.
"""

import argparse
import os
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import psycopg

from tests.checkout import copy_project
from tests.counting import number
from tests.processes import Process, Tidy, wait_until
from tests.servers import postgresql_server, valkey_server

RUNS = "SELECT count(*) FROM tasks_taskrun WHERE state = 'running' AND attempts ="


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidy-")))
        host = stack.enter_context(postgresql_server(folder, durable=True))
        settings = {
            "DJANGO_DEBUG": "true",
            "DJANGO_SECRET_KEY": "benchmark",
            "DATABASE_URL": f"postgresql://postgres@/postgres?host={host}",
            "REDIS_URL": stack.enter_context(valkey_server(folder)),
        }
        tidy = Tidy(copy_project(folder / "checkout"), settings)
        tidy.inject(actors="measured")
        migrated = tidy.manage("migrate", "-v0")
        assert migrated.returncode == 0, migrated.stderr
        database = stack.enter_context(psycopg.connect(settings["DATABASE_URL"], autocommit=True))
        stack.enter_context(tidy.start("runscheduler"))
        for kill in range(1, options.kills + 1):
            seconds = recovery(tidy, database)
            print(f"kill {kill}: started again after {seconds:.1f} s", flush=True)  # noqa: T201


def recovery(tidy: Tidy, database: psycopg.Connection) -> float:
    """Kill the worker that is at a run; return the seconds until another one is."""
    arguments = ("rundramatiq", "--processes=1", "--threads=2")
    with tidy.start(*arguments) as first:
        code = "from tests.actors.measured import linger; linger.send()"
        sent = tidy.manage("shell", "-v0", "-c", code)
        assert sent.returncode == 0, sent.stderr
        wait(first, database, attempts=1)
        with tidy.start(*arguments) as second:
            second.wait_for("ready for action")
            os.killpg(first.popen.pid, signal.SIGKILL)
            started = monotonic()
            wait(second, database, attempts=2)
            seconds = monotonic() - started
            database.execute(
                "UPDATE tasks_taskrun SET state = 'failed', finished_at = now()"
                " WHERE finished_at IS NULL AND task = 'linger'"
            )
    return seconds


def wait(process: Process, database: psycopg.Connection, *, attempts: int) -> None:
    """Wait until a run is in this attempt."""
    wait_until(
        lambda: number(database, f"{RUNS} {attempts}") > 0, seconds=300, otherwise=process.output
    )


if __name__ == "__main__":
    main()
