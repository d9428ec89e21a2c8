"""How soon after its time work begins, and what an idle worker costs.

    python -m tests.benchmarks.latency --slots 300 --pings 60

Slots: a schedule comes every second; the real scheduler claims the slot in PostgreSQL and sends it
through Valkey to a real worker, whose actor says when it started. Pings: sent one by one, a random
second apart; the time until the answer is back. Each with Tidy's broker, which wakes its workers,
and with Dramatiq's own at several intervals of looking. `busy` is the share of one core that the
worker uses while it has nothing to do.
"""

import argparse
import os
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, perf_counter, sleep

import django
import psycopg

from tests.checkout import copy_project
from tests.processes import Process, Tidy
from tests.servers import postgresql_server, valkey_server


@dataclass(frozen=True)
class Way:
    """A broker and how often an idle worker looks by itself (ms)."""

    name: str
    broker: str
    looks_every: int


WAYS = (
    Way("Tidy", "tasks.engine.broker.waking.WakingBroker", 1000),
    Way("Dramatiq, 50 ms", "dramatiq.brokers.redis.RedisBroker", 50),
    Way("Dramatiq, 100 ms", "dramatiq.brokers.redis.RedisBroker", 100),
    Way("Dramatiq, 1 s (its own)", "dramatiq.brokers.redis.RedisBroker", 1000),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=60)
    parser.add_argument("--pings", type=int, default=30)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="tidy-") as folder,
        valkey_server(Path(folder)) as broker,
        postgresql_server(Path(folder), durable=True) as host,
    ):
        settings = {
            "DJANGO_DEBUG": "true",
            "DJANGO_SECRET_KEY": "benchmark",
            "DATABASE_URL": f"postgresql://postgres@/postgres?host={host}",
            "REDIS_URL": broker,
        }
        os.environ.update(settings, DJANGO_SETTINGS_MODULE="project.settings")
        django.setup()
        tidy = Tidy(copy_project(Path(folder) / "checkout"), settings)
        tidy.inject(actors="measured", every={"start": 1})
        migrated = tidy.manage("migrate", "-v0")
        assert migrated.returncode == 0, migrated.stderr
        print(f"{'':<26}{'p50':>8}{'p95':>8}{'p99':>8}{'worst':>9}{'busy':>8}")  # noqa: T201
        with worker(tidy, WAYS[0]) as process:
            busy = busy_share(process.popen.pid)
            show("slot to actor", slots(tidy, options.slots), busy)
        for way in WAYS:
            with worker(tidy, way) as process:
                busy = busy_share(process.popen.pid)
                show(f"ping: {way.name}", pings(options.pings), busy)


def show(name: str, waits: Sequence[float], busy: float) -> None:
    """Print one line of the table; `waits` in milliseconds."""
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    figures = "".join(f"{cuts[percent - 1]:>5.0f} ms" for percent in (50, 95, 99))
    print(f"{name:<26}{figures}{max(waits):>6.0f} ms{busy:>8.1%}", flush=True)  # noqa: T201


@contextmanager
def worker(tidy: Tidy, way: Way) -> Iterator[Process]:
    """Run a worker of one process."""
    chosen = {
        "DJANGO_SETTINGS_MODULE": "tests.benchmarks.with_broker",
        "BENCHMARK_BROKER": way.broker,
        "dramatiq_worker_timeout": str(way.looks_every),
    }
    at_work = replace(tidy, settings={**tidy.settings, **chosen})
    with at_work.start("rundramatiq", "--processes=1", "--threads=8") as process:
        process.wait_for("ready for action")
        yield process
        process.stop()


def slots(tidy: Tidy, number: int) -> list[float]:
    """Run the scheduler for so many slots; return the milliseconds from each to its actor."""
    with tidy.start("runscheduler") as scheduler:
        sleep(number + 3)
        scheduler.stop()
    with psycopg.connect(tidy.settings["DATABASE_URL"]) as database:
        rows = database.execute(
            """
            SELECT result::text::float - extract(epoch FROM scheduled_for) FROM tasks_taskrun
            WHERE task = 'start' AND state = 'succeeded' ORDER BY scheduled_for
            """
        ).fetchall()
    waits = [float(row[0]) * 1000 for row in rows][:number]
    assert len(waits) == number, f"only {len(waits)} of {number} slots ran"
    return waits


def pings(number: int) -> list[float]:
    """Send pings one by one; return the milliseconds until each was answered."""
    from tasks.actors import ping  # noqa: PLC0415  (needs the settings)

    chance = random.Random(1)  # noqa: S311  (spreads the pings, keeps no secret)
    waits = []
    for _ in range(number):
        sleep(0.5 + chance.random())
        started = perf_counter()
        ping.send().get_result(block=True, timeout=10_000)
        waits.append((perf_counter() - started) * 1000)
    return waits


def busy_share(pid: int, seconds: float = 10) -> float:
    """Return the share of one core that a process and its children use when idle (Linux)."""
    before, started = ticks(pid), monotonic()
    sleep(seconds)
    return (ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / (monotonic() - started)


def ticks(pid: int) -> int:
    """Return the clock ticks that a process and its living children have used."""
    total = 0
    for line in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = line.read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue  # It ended.
        if int(line.parent.name) == pid or int(fields[1]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total


if __name__ == "__main__":
    main()
