"""A worker's health: its command asks about that very replica, and a stuck process ends itself."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from tests.healthchecks import healthcheck
from tests.processes import Process, Tidy, wait_until
from tests.seam.injection import Pause, Value
from tests.servers import start_valkey
from tests.tasks.faults import add_actors, effects, enqueue

pytestmark = [pytest.mark.e2e]

WATCHDOG = "tasks.engine.worker.watchdog"

#: So long does nothing have to be wrong, in these tests. What remains of it when the broker is back
#: has to be longer than the 3 seconds after which Dramatiq's threads try again.
STUCK_SECONDS = 8
IMPATIENT = (
    Value(f"{WATCHDOG}:STUCK_SECONDS", STUCK_SECONDS),
    Value(f"{WATCHDOG}:DOUBTFUL_SECONDS", 1),
)


@contextmanager
def worker_at_work(tidy: Tidy, folder: Path, *, processes: int = 1) -> Iterator[Process]:
    options = (f"--processes={processes}", "--threads=1", f"--alive-folder={folder}")
    with tidy.start("rundramatiq", *options) as worker:
        worker.wait_for("Worker process is ready", times=processes)
        wait_until(
            lambda: healthcheck(tidy.folder, "worker", folder) == "",
            seconds=20,
            otherwise=lambda: healthcheck(tidy.folder, "worker", folder) + worker.output(),
        )
        yield worker


def alive_files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.name.isdecimal()]


def age(file: Path) -> None:
    """Touch a file as a minute ago; a process that is alive corrects that within a second."""
    os.utime(file, times=(time.time() - 61, time.time() - 61))


def test_health_command_finds_the_one_process_that_is_frozen(tidy: Tidy, tmp_path: Path) -> None:
    folder = tmp_path / "alive"
    with worker_at_work(tidy, folder, processes=2) as worker:
        frozen, well = alive_files(folder)
        os.kill(int(frozen.name), signal.SIGSTOP)
        try:
            age(well)
            age(frozen)
            wait_until(
                lambda: "1 of 2" in healthcheck(tidy.folder, "worker", folder),
                seconds=10,
                otherwise=lambda: healthcheck(tidy.folder, "worker", folder),
            )
            assert frozen.name in healthcheck(tidy.folder, "worker", folder)
        finally:
            os.kill(int(frozen.name), signal.SIGCONT)
        wait_until(
            lambda: healthcheck(tidy.folder, "worker", folder) == "",
            seconds=10,
            otherwise=lambda: healthcheck(tidy.folder, "worker", folder),
        )
        assert worker.stop() == 0


def test_worker_whose_queues_nobody_reads_ends_itself_with_one_line(
    tidy: Tidy, tmp_path: Path
) -> None:
    hang = Pause("before", "tasks.engine.broker.consumer:WakingConsumer._fetch", 600)
    tidy.inject(*IMPATIENT, hang)
    with tidy.start("rundramatiq", "--processes=1", "--threads=1") as worker:
        assert worker.popen.wait(60) != 0
    (line,) = [line for line in worker.output().splitlines() if "worker stuck" in line]
    assert f"was not asked for messages for {STUCK_SECONDS} s" in line
    assert "Traceback" not in worker.output()


def test_long_run_full_queue_and_broker_away_are_no_reasons_to_end(
    tidy: Tidy, tmp_path: Path
) -> None:
    tidy.inject(*IMPATIENT)
    folder = tmp_path / "alive"
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as sql:
        add_actors(tidy, sql)
        with worker_at_work(tidy, folder) as worker:
            for _ in range(6):
                enqueue(tidy, f"nap, seconds={STUCK_SECONDS + 2}")
            wait_until(lambda: "nap begun" in effects(sql), seconds=20, otherwise=worker.output)
            broker = broker_process(tidy.settings["REDIS_URL"])
            os.kill(broker, signal.SIGSTOP)
            time.sleep(2 * STUCK_SECONDS)
            assert healthcheck(tidy.folder, "worker", folder) == ""
            os.kill(broker, signal.SIGCONT)
            wait_until(
                lambda: effects(sql).count("nap begun") >= 3, seconds=60, otherwise=worker.output
            )
            assert healthcheck(tidy.folder, "worker", folder) == ""
            assert "worker stuck" not in worker.output()
            assert worker.stop() == 0


def broker_process(address: str) -> int:
    """Return the id of the Valkey server at an address."""
    with redis.from_url(address) as client:
        return int(client.info("server")["process_id"])


def test_outage_of_the_broker_is_one_line_when_it_begins_and_one_when_it_ends(
    tidy: Tidy, tmp_path: Path
) -> None:
    with tidy.start("rundramatiq", "--processes=1", "--threads=1") as worker:
        worker.wait_for("Worker process is ready")
        before = worker.output()
        broker = broker_process(tidy.settings["REDIS_URL"])
        os.kill(broker, signal.SIGKILL)
        worker.wait_for("broker away")
        time.sleep(8)  # Dramatiq's threads try again every three seconds.
        restarted = start_valkey(tmp_path / "valkey")
        try:
            worker.wait_for("broker back")
            assert worker.stop() == 0
        finally:
            restarted.terminate()
            restarted.wait(10)
    log = worker.output().removeprefix(before)
    meanwhile = log[: log.index("broker back")]
    assert meanwhile.count("broker away") == 1
    assert meanwhile.count("\n") == 1, meanwhile
