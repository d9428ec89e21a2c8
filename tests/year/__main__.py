"""A year of nights in some minutes: what grows that should not?

    python -m tests.year --days 365

Web, two workers, two schedulers, a real PostgreSQL, Valkey and mail server, and a clock that this
program drives: every few seconds it sets the time of all of them to the next morning, and waits
until every run of the night has ended well. People add and complete a thousand todos a day, and log
in. After the days that the trash, the ledger and the sessions are kept, nothing may grow any more:
no process's memory, threads or files, no table with its indexes, no connection, no key in Valkey.
Exits with 1 if something grows, or a run fails.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic

import psycopg
import redis

from tests.benchmarks.stage import say
from tests.checkout import copy_project
from tests.mail_server import mail_server
from tests.processes import Tidy, wait_until
from tests.servers import postgresql_server, valkey_server
from tests.sites import serving
from tests.year.clock import Clock
from tests.year.life import PASSWORD, READERS, join, live
from tests.year.samples import Sample, grew, growth, sample

#: After the ledger's 90 days, with some of grace.
STEADY_FROM = 100

LIVENESS_SECONDS = 8

#: Vacuum looks each second, as a day takes a few; for the tables of todos as operations.md says.
VACUUM = """
    ALTER TABLE todos_todo SET
        (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
    ALTER TABLE todos_trashedtodo SET
        (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000)
"""

#: What a process says when it is there.
READY = {"worker": "process is ready", "scheduler": "scheduler started"}

#: The tasks that have a slot each night.
NIGHTLY = "SELECT task FROM tasks_schedule WHERE enabled AND task <> 'ping'"
#: How many runs of the last night's slots have ended well.
ENDED = """
    SELECT count(DISTINCT task) FROM tasks_taskrun
    WHERE state = 'succeeded' AND task <> 'ping'
    AND scheduled_for > clock_timestamp() - interval '1 day'
"""
#: Nothing else is under way.
UNFINISHED = "SELECT count(*) FROM tasks_taskrun WHERE finished_at IS NULL AND task <> 'ping'"
FAILED = "SELECT task, error FROM tasks_taskrun WHERE state = 'failed'"
LAST = """
    SELECT task, state, scheduled_for, reason, right(error, 200) FROM tasks_taskrun
    WHERE task <> 'ping' AND created_at > clock_timestamp() - interval '1 day' ORDER BY id
"""
TO_MORNING = """
    SELECT date_trunc('day', clock_timestamp()) + interval '30 hours 30 minutes' - clock_timestamp()
"""


def main() -> None:
    """Live through the days, print the figures, and exit with 1 if one grows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=365)
    days = parser.parse_args().days
    started = monotonic()
    with tempfile.TemporaryDirectory(prefix="tidy-") as name, year(Path(name)) as (site, system):
        samples = [one_day(day, site, system) for day in range(days)]
        failed = system.database.execute(FAILED).fetchall()
    sys.stdout.write(f"{days} days in {(monotonic() - started) / 60:.0f} minutes\n\n")
    bad = report(samples) if days > STEADY_FROM + 2 else []
    for task, error in failed:
        sys.stdout.write(f"{task} failed: {error.strip().splitlines()[-1]}\n")
    sys.exit(1 if bad or failed else 0)


class System:
    """All that runs."""

    def __init__(self, database: psycopg.Connection, broker: redis.Redis, clock: Clock) -> None:
        self.database = database
        self.broker = broker
        self.clock = clock
        self.processes: dict[str, int] = {}


def one_day(day: int, site: str, system: System) -> Sample:
    """Live a day, sleep until the night's runs have ended, and measure."""
    live(system.database, site, day)
    (by,) = system.database.execute(TO_MORNING).fetchone() or (timedelta(),)
    system.clock.go_forward(by)
    tasks = [task for (task,) in system.database.execute(NIGHTLY)]
    wait_until(
        lambda: ask(system, ENDED) == len(tasks) and not ask(system, UNFINISHED),
        seconds=120,
        otherwise=lambda: f"day {day}: {system.database.execute(LAST).fetchall()}",
    )
    taken = sample(system.processes, system.database, system.broker)
    if day % 10 == 0:
        say(f"day {day}")
    return taken


def ask(system: System, query: str) -> int:
    row = system.database.execute(query.encode()).fetchone()
    assert row
    return int(row[0])


def report(samples: list[Sample]) -> list[str]:
    """Print how each figure has changed; return the names of those that grow.

    Medians of the first and of the last third of the steady days.
    """
    bad = []
    sys.stdout.write(f"{'':44}{'from day ' + str(STEADY_FROM):>14}{'last days':>12}\n")
    for name in samples[-1]:
        first, last, unit = growth(samples, name, STEADY_FROM)
        if grew(first, last, unit):
            bad.append(name)
        verdict = "  GROWS" if grew(first, last, unit) else ""
        sys.stdout.write(f"{name:44}{first:14,.1f}{last:12,.1f} {unit}{verdict}\n")
    return bad


@contextmanager
def year(folder: Path) -> Iterator[tuple[str, System]]:
    """Have everything run; yield the address of the site, and the system."""
    (folder / "valkey").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # For PostgreSQL's lock.
    with ExitStack() as stack:
        broker = stack.enter_context(valkey_server(folder / "valkey"))
        host = stack.enter_context(postgresql_server(folder))
        mails = stack.enter_context(mail_server())
        address = f"postgresql://postgres@/postgres?host={host}"
        admin = stack.enter_context(psycopg.connect(address, autocommit=True))
        client = redis.Redis.from_url(broker)
        clock = Clock(folder / "clock", admin, client)
        settings = {
            "DJANGO_SECRET_KEY": "a-secret-for-a-year-0123456789-abcdefghijklmnopqrstuvwxyz",
            "DJANGO_ALLOWED_HOSTS": "localhost",
            "DJANGO_HTTPS": "false",
            "DATABASE_URL": address,
            "REDIS_URL": broker,
            "EMAIL_URL": mails.url,
            "TASKS_LIVENESS_SECONDS": str(LIVENESS_SECONDS),
            **clock.environment,
        }
        tidy = Tidy(copy_project(folder / "tidy"), settings)
        for command in (["migrate", "--no-input"], ["collectstatic", "--no-input", "-v0"]):
            done = tidy.manage(*command)
            assert done.returncode == 0, done.stderr
        # Its search path has the driven clock in front.
        database = stack.enter_context(psycopg.connect(address, autocommit=True))
        database.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        database.execute(VACUUM.encode())
        database.execute("SELECT pg_reload_conf()")
        join(database, hashed(tidy))
        system = System(database, client, clock)
        port = start(stack, system, tidy, folder)
        yield f"http://localhost:{port}", system
        # Whoever wants receipts has got some: the first night that takes something is the second.
        assert len(mails.per_person()) == READERS, mails.per_person()


def hashed(tidy: Tidy) -> str:
    """Return the hash of everybody's password."""
    code = (
        f"from django.contrib.auth.hashers import make_password; print(make_password({PASSWORD!r}))"
    )
    done = tidy.manage("shell", "-v0", "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def start(stack: ExitStack, system: System, tidy: Tidy, folder: Path) -> int:
    """Start web, workers and schedulers, and wait until they are there; return the site's port."""
    web = stack.enter_context(serving(tidy, folder / "web.log", "--threads=2"))
    system.processes["web"] = web.process.popen.pid
    for number in (1, 2):
        worker = ("rundramatiq", "--processes", "1", "--threads", "4")
        for name, command in (("worker", worker), ("scheduler", ("runscheduler",))):
            started = stack.enter_context(tidy.start(*command))
            started.wait_for(
                "scheduler started" if name == "scheduler" else "process is ready", seconds=60
            )
            system.processes[f"{name} {number}"] = started.popen.pid
    return web.port


if __name__ == "__main__":
    main()
