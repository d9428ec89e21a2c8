"""`manage.py dev` when it is told to stop, when it is killed, and when a program of its is."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from project.dev.reaper import is_running
from tests.processes import Process, Tidy, wait_until
from tests.running_dev import (
    assert_nothing_runs_in,
    process_id,
    processes_in,
    responds,
    said,
    todos,
    wait_until_up,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Yield the two ends of a terminal: the person's and the programs'."""
    ours, its = pty.openpty()
    try:
        yield ours, its
    finally:
        for descriptor in (ours, its):
            with suppress(OSError):
                os.close(descriptor)


@contextmanager
def at_terminal(tidy: Tidy, ours: int, its: int, *arguments: str) -> Iterator[Process]:
    """Run `manage.py` as the foreground job of a terminal; its output is what the person sees."""
    log = tidy.folder / "terminal.log"
    with log.open("wb"):
        popen = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=tidy.folder,
            env=tidy.environment,
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 (no threads)
        )
    try:
        yield Process(popen, log)
    finally:
        popen.kill()
        popen.wait(10)


def see(ours: int, dev: Process, text: str, seconds: float = 60) -> None:
    """Look at a terminal until `text` stands there, and write down what there was."""

    def look() -> bool:
        if select.select([ours], [], [], 0.1)[0]:
            with dev.log.open("ab") as log:
                log.write(os.read(ours, 65_536))
        return text in dev.output()

    wait_until(look, seconds=seconds, otherwise=dev.output)


def another_runs(tidy: Tidy, command: str, earlier: list[int]) -> bool:
    """Say whether a process with `command` runs that is none of the earlier ones."""
    running = processes_in(tidy.folder)
    return any(command in line and pid not in earlier for pid, line in running.items())


def test_each_program_that_is_killed_comes_back_and_works(tidy: Tidy, port: int) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert tidy.manage("ping", "--wait=30").returncode == 0
        for times, (command, which) in enumerate(
            [
                ("valkey-server", min),
                ("dramatiq", max),  # One of its processes: the whole worker ends, and comes back.
                ("runscheduler", min),
                ("runserver", min),
            ],
            start=1,
        ):
            running = [pid for pid, line in processes_in(tidy.folder).items() if command in line]
            os.kill(which(running), signal.SIGKILL)
            dev.wait_for("; starts again in ", times=times)
            wait_until(
                partial(another_runs, tidy, command, running), seconds=20, otherwise=dev.output
            )
            answered = tidy.manage("ping", "--wait=30")
            assert answered.returncode == 0, answered.stderr
            wait_until(lambda: responds(port), seconds=20, otherwise=dev.output)
        assert dev.stop(seconds=30) == 0
        assert_nothing_runs_in(tidy.folder)


def test_ctrl_c_at_a_terminal_stops_everything_in_order(tidy: Tidy, port: int) -> None:
    with terminal() as (ours, its), at_terminal(tidy, ours, its, "dev", f"--port={port}") as dev:
        # The site may be up before the others, which would then have nothing to say at their end.
        for up in ("Worker process is ready", "scheduler started", "Tidy is running."):
            see(ours, dev, up)
        os.write(ours, b"\x03")
        see(ours, dev, "bye bye")  # Valkey's last words.
        assert dev.popen.wait(20) == 0
        assert_nothing_runs_in(tidy.folder)
    assert "Traceback" not in dev.output()
    assert "\x1b[36m" in dev.output()
    error_summary = ["scheduler stopped", "Worker has been shut down", "bye bye"]
    assert sorted(error_summary, key=dev.output().index) == error_summary


def test_terminal_that_is_closed_stops_everything(tidy: Tidy, port: int) -> None:
    with terminal() as (ours, its), at_terminal(tidy, ours, its, "dev", f"--port={port}") as dev:
        see(ours, dev, "Tidy is running.")
        os.close(its)
        os.close(ours)
        assert dev.popen.wait(20) == 0
        assert_nothing_runs_in(tidy.folder)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop_during_the_first_start_leaves_nothing_half_made(
    tidy: Tidy, port: int, signum: signal.Signals
) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        dev.wait_for("Making 100 demo people")
        dev.popen.send_signal(signum)
        assert dev.popen.wait(20) == 0
        assert_nothing_runs_in(tidy.folder)
    assert "Traceback" not in dev.output()
    # Either all of it stands, or nothing and the next start makes it.
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert dev.stop() == 0
    assert said(dev, "Admin").endswith("as admin")
    assert todos(tidy) == 5_000


@pytest.mark.parametrize("with_its_worker", [False, True])
def test_killed_supervisor_leaves_nothing_behind_and_the_next_start_works_at_once(
    tidy: Tidy, port: int, *, with_its_worker: bool
) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        first = set(processes_in(tidy.folder))
        worker = process_id(tidy.folder, "dramatiq")
        os.kill(dev.popen.pid, signal.SIGKILL)
        if with_its_worker:
            os.kill(worker, signal.SIGKILL)
        dev.popen.wait(10)
        # Same port, same folder, while the last run's programs are still being ended.
        with tidy.start("dev", f"--port={port}") as next_dev:
            wait_until_up(next_dev)
            left = {pid for pid in first if is_running(pid)} & set(processes_in(tidy.folder))
            assert left == set()
            assert tidy.manage("ping", "--wait=30").returncode == 0
            assert next_dev.stop() == 0
            assert_nothing_runs_in(tidy.folder)


def test_broker_that_outlived_everything_is_replaced(tidy: Tidy, port: int) -> None:
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        valkey = process_id(tidy.folder, "valkey-server")
        # Everything else, beginning with the process that clears up behind a killed run.
        os.kill(process_id(tidy.folder, "reaper.py"), signal.SIGKILL)
        for pid in processes_in(tidy.folder):
            if pid != valkey:
                os.kill(pid, signal.SIGKILL)
        dev.popen.wait(10)
        assert is_running(valkey)
    with tidy.start("dev", f"--port={port}") as dev:
        wait_until_up(dev)
        assert not is_running(valkey)
        assert tidy.manage("ping", "--wait=30").returncode == 0
        assert dev.stop() == 0
        assert_nothing_runs_in(tidy.folder)


def test_output_into_a_pipe_that_closes_stops_no_program(tidy: Tidy, port: int) -> None:
    read_end, write_end = os.pipe()
    with tidy.start("dev", f"--port={port}", output=write_end) as dev:
        os.close(write_end)
        os.read(read_end, 1)
        os.close(read_end)
        wait_until(lambda: responds(port), seconds=60, otherwise=lambda: "not up")
        assert dev.stop() == 0
        assert_nothing_runs_in(tidy.folder)
