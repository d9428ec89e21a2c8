"""A supervisor over small real programs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from project.dev.reaper import is_running
from tests.checkout import ROOT
from tests.processes import Process, wait_until

#: Runs the programs that its arguments give as pairs of name and Python code.
RUNNER = """
import os, sys
from project.dev import program
from project.dev.supervisor import supervise
program.GRACE_SECONDS = 4
program.PAUSE_SECONDS = float(os.environ.get("PAUSE_SECONDS", "0.1"))
programs = [
    program.Program(name, [sys.executable, "-c", code])
    for name, code in zip(sys.argv[1::2], sys.argv[2::2])
]
def say(line):
    # All at once: another thread may be writing, too.
    print(f"{line}\\n", end="", flush=True)
supervise(
    programs, write=lambda name, line: say(f"{name}| {line}"), when_up=lambda: say("all up")
)
say("left in order")
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
IGNORES = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


#: Has a child that ignores SIGTERM; both numbers are written.
HAS_A_CHILD = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {IGNORES!r}], stdout=subprocess.DEVNULL)
print(os.getpid(), child.pid, flush=True)
time.sleep(60)
"""


@contextmanager
def supervised(
    folder: Path,
    *,
    runner: str = RUNNER,
    settings: Mapping[str, str] | None = None,
    **programs: str,
) -> Iterator[Process]:
    """Run a supervisor over Python programs; kill what a failed test leaves."""
    arguments = [argument for pair in programs.items() for argument in pair]
    log = folder / "output"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-c", runner, *arguments],
            cwd=ROOT,
            env={**os.environ, **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Process(popen, log)
    finally:
        popen.kill()  # Its programs end with it.
        popen.wait(10)


def numbers(process: Process, name: str) -> list[int]:
    """Return the numbers in the line that a program wrote first."""
    line = re.compile(rf"^{name}\| ([\d ]+)\n", re.MULTILINE)
    wait_until(
        lambda: line.search(process.output()) is not None, seconds=10, otherwise=process.output
    )
    return [int(word) for word in line.findall(process.output())[0].split()]


def number(process: Process, name: str) -> int:
    """Return the only number in the line that a program wrote first."""
    (found,) = numbers(process, name)
    return found


def wait_until_ended(process: Process, *pids: int, seconds: float = 5) -> None:
    wait_until(
        lambda: not any(is_running(pid) for pid in pids),
        seconds=seconds,
        otherwise=process.output,
    )
