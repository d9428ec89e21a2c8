"""How long a lone message waits for an idle worker: with Tidy's setting, and with Dramatiq's own.

    python -m tests.benchmarks.latency --pings 60

Sends pings, a random second apart, through a real Valkey to a real worker, and takes the time until
the answer is back. The processor time of the idle worker stands beside it.
"""

import argparse
import os
import random
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, sleep

import django

from tests.checkout import copy_project
from tests.processes import Process, Tidy
from tests.servers import valkey_server

#: Milliseconds between two looks of an idle worker.
SETTINGS = {"Tidy": "", "Dramatiq's own": "1000"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pings", type=int, default=60)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="tidy-") as folder,
        valkey_server(Path(folder)) as broker,
    ):
        settings = {
            "DJANGO_DEBUG": "true",
            "DJANGO_SECRET_KEY": "benchmark",
            "DATABASE_URL": f"sqlite:///{folder}/tidy.sqlite3",
            "REDIS_URL": broker,
        }
        os.environ.update(settings, DJANGO_SETTINGS_MODULE="project.settings")
        django.setup()
        checkout = copy_project(Path(folder) / "checkout")
        print(f"{'worker looks every':<20}{'p50':>8}{'p95':>8}{'worst':>8}{'busy':>8}")  # noqa: T201
        for name, timeout in SETTINGS.items():
            chosen = {"dramatiq_worker_timeout": timeout} if timeout else {}
            with worker(Tidy(checkout, {**settings, **chosen})) as process:
                waits = pings(options.pings)
                busy = busy_share(process.popen.pid)
            cuts = statistics.quantiles(waits, n=20)
            print(  # noqa: T201
                f"{name:<20}{cuts[9]:>5.0f} ms{cuts[18]:>5.0f} ms{max(waits):>5.0f} ms{busy:>8.1%}"
            )


@contextmanager
def worker(tidy: Tidy) -> Iterator[Process]:
    """Run a worker of one process."""
    with tidy.start("rundramatiq", "--processes=1", "--threads=8") as process:
        process.wait_for("ready for action")
        yield process
        process.stop()


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
