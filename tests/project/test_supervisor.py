"""The supervisor, with small real programs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.processes import Process, wait_until

ROOT = Path(__file__).resolve().parents[2]

#: Runs the programs that its arguments give as pairs of name and Python code.
RUNNER = """
import asyncio, os, sys
from project import supervisor
from project.supervisor import Program, Supervisor
supervisor.FIRST_PAUSE = float(os.environ.get("FIRST_PAUSE", "0.1"))
pairs = list(zip(sys.argv[1::2], sys.argv[2::2]))
programs = [
    Program(name=name, command=[sys.executable, "-c", code], grace=4) for name, code in pairs
]
def write(name, line):
    print(f"{name}| {line}", flush=True)
async def main():
    await Supervisor(programs, write=write, environment=os.environ).run(
        when_up=lambda: print("all up", flush=True)
    )
asyncio.run(main())
print("left in order", flush=True)
"""

SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
TELLS = """
import os, signal, sys, time
name = sys.argv[0]
def stop(*_):
    print("stopped", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
print("ready", flush=True)
while True:
    time.sleep(1)
"""
IGNORES = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def supervised(folder: Path, **programs: str) -> Iterator[Process]:
    """Run a supervisor over Python programs; kill what a failed test leaves."""
    arguments = [argument for pair in programs.items() for argument in pair]
    log = folder / "output"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-c", RUNNER, *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Process(popen, log)
    finally:
        popen.kill()  # Its programs end with it.
        popen.wait(10)


def alive(pid: int) -> bool:
    """Say whether a process is there and not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def number(process: Process, name: str) -> int:
    """Return the number that a program wrote first."""
    process.wait_for(f"{name}| ")
    line = next(line for line in process.output().splitlines() if line.startswith(f"{name}| "))
    return int(line.split("| ")[1])


def test_programs_stop_in_the_reverse_of_their_order(tmp_path: Path) -> None:
    with supervised(tmp_path, first=TELLS, second=TELLS, third=TELLS) as supervisor:
        supervisor.wait_for("ready", times=3)
        assert supervisor.stop() == 0
    lines = supervisor.output().splitlines()
    assert [line for line in lines if "stopped" in line] == [
        "third| stopped",
        "second| stopped",
        "first| stopped",
    ]
    assert lines[-1] == "left in order"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_usual_signal_stops_everything(tmp_path: Path, signum: signal.Signals) -> None:
    with supervised(tmp_path, one=SLEEP) as supervisor:
        pid = number(supervisor, "one")
        supervisor.popen.send_signal(signum)
        assert supervisor.popen.wait(10) == 0
        assert not alive(pid)


def test_program_that_dies_is_started_again_and_the_line_says_how_it_ended(tmp_path: Path) -> None:
    with supervised(tmp_path, one="print('hello'); raise SystemExit(3)") as supervisor:
        supervisor.wait_for("one| hello", times=3)
        assert supervisor.stop() == 0
    assert "one| ended with code 3; starts again in 0.1 s" in supervisor.output()
    assert "one| ended with code 3; starts again in 0.2 s" in supervisor.output()


def test_killed_program_comes_back(tmp_path: Path) -> None:
    with supervised(tmp_path, one=SLEEP) as supervisor:
        os.kill(number(supervisor, "one"), signal.SIGKILL)
        supervisor.wait_for("one| was ended by SIGKILL; starts again in 0.1 s")
        wait_until(
            lambda: (
                sum(
                    line.split("| ")[1].isdigit()
                    for line in supervisor.output().splitlines()
                    if "| " in line
                )
                == 2
            ),
            seconds=10,
            otherwise=supervisor.output,
        )
        assert supervisor.stop() == 0


def test_program_that_does_not_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    with supervised(tmp_path, one=IGNORES) as supervisor:
        supervisor.wait_for("one| ready")
        assert supervisor.stop() == 0
    assert "one| did not stop within 4 s: killed" in supervisor.output()


def test_two_signals_at_once_are_one(tmp_path: Path) -> None:
    with supervised(tmp_path, one=TELLS) as supervisor:
        supervisor.wait_for("one| ready")
        supervisor.popen.send_signal(signal.SIGINT)
        supervisor.popen.send_signal(signal.SIGTERM)
        assert supervisor.popen.wait(10) == 0
    assert "one| stopped" in supervisor.output()


def test_another_signal_after_a_moment_kills_what_will_not_stop(tmp_path: Path) -> None:
    with supervised(tmp_path, one=STUBBORN) as supervisor:
        supervisor.wait_for("one| ready")
        supervisor.popen.send_signal(signal.SIGINT)
        supervisor.wait_for("one| not yet")
        started = monotonic()
        while supervisor.popen.poll() is None:
            assert monotonic() - started < 5
            supervisor.popen.send_signal(signal.SIGINT)
            sleep(0.1)
        assert supervisor.popen.returncode == 0
    assert "did not stop within" not in supervisor.output()


def test_what_a_dead_program_leaves_behind_is_killed(tmp_path: Path) -> None:
    leaves_a_child = (
        "import subprocess, sys; "
        f"print(subprocess.Popen([sys.executable, '-c', {IGNORES!r}]).pid, flush=True); "
        "sys.exit(1)"
    )
    with supervised(tmp_path, one=leaves_a_child) as supervisor:
        child = number(supervisor, "one")
        supervisor.wait_for("ended with code 1")
        wait_until(lambda: not alive(child), seconds=5, otherwise=supervisor.output)
        assert supervisor.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_programs_end_even_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, one=SLEEP, two=SLEEP) as supervisor:
        pids = [number(supervisor, "one"), number(supervisor, "two")]
        supervisor.popen.kill()
        supervisor.popen.wait(10)
        wait_until(
            lambda: not any(alive(pid) for pid in pids), seconds=5, otherwise=supervisor.output
        )


def test_long_lines_unfinished_lines_and_bytes_that_are_no_text_come_through(
    tmp_path: Path,
) -> None:
    writes = (
        "import sys, time; out = sys.stdout.buffer; "
        "out.write(b'x' * 200_000 + b'\\n\\xff\\xfe\\r\\nno end'); out.flush()"
    )
    with supervised(tmp_path, one=writes) as supervisor:
        supervisor.wait_for("no end")
        assert supervisor.stop() == 0
    assert f"one| {'x' * 200_000}\n" in supervisor.output()
    assert "one| \ufffd\ufffd\n" in supervisor.output()
    assert "one| no end\n" in supervisor.output()


def test_program_that_cannot_be_started_says_so_and_the_rest_runs(tmp_path: Path) -> None:
    runner = RUNNER.replace(
        '[sys.executable, "-c", code]',
        '["/nonexistent"] if name == "bad" else [sys.executable, "-c", code]',
    )
    assert runner != RUNNER
    log = tmp_path / "output"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-c", runner, "bad", "", "good", SLEEP],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    supervisor = Process(popen, log)
    try:
        supervisor.wait_for("bad| cannot be started: ")
        assert alive(number(supervisor, "good"))
        assert supervisor.stop() == 0
    finally:
        popen.kill()
        popen.wait(10)
