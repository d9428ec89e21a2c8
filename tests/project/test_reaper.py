"""What becomes of the programs when their supervisor is killed."""

import os
import re
import signal
from pathlib import Path

import pytest

from project.dev.reaper import is_running
from tests.processes import Process, wait_until
from tests.supervised import (
    HAS_A_CHILD,
    IGNORES,
    SLEEP,
    number,
    numbers,
    supervised,
    wait_until_ended,
)

pytestmark = pytest.mark.processes


def reaper_of(process: Process) -> int:
    """Return the number of the process that clears up behind a supervisor."""
    pid = process.popen.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    (found,) = [
        int(child)
        for child in children
        if b"reaper.py" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return found


def ignores_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (mask,) = re.findall(r"^SigIgn:\s*(\w+)$", status, re.MULTILINE)
    return bool(int(mask, 16) & (1 << (signal.SIGTERM - 1)))


def test_programs_end_in_order_even_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    said = tmp_path / "said"
    tells = f"""
import os, signal, sys, time
def stop(*_):
    with open({str(said)!r}, "a") as file:
        file.write(NAME)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(os.getpid(), flush=True)
time.sleep(60)
"""
    programs = {name: tells.replace("NAME", repr(f"{name} ")) for name in ("one", "two")}
    with supervised(tmp_path, one=programs["one"], two=programs["two"]) as supervisor:
        pids = [number(supervisor, name) for name in programs]
        reaper = reaper_of(supervisor)
        supervisor.popen.kill()
        supervisor.popen.wait(10)
        wait_until_ended(supervisor, *pids, reaper)
    assert said.read_text(encoding="ascii") == "two one "


def test_nothing_is_left_when_supervisor_and_program_are_killed_together(tmp_path: Path) -> None:
    with supervised(tmp_path, one=HAS_A_CHILD, two=SLEEP) as supervisor:
        program, child = numbers(supervisor, "one")
        others = [number(supervisor, "two"), reaper_of(supervisor)]
        supervisor.popen.kill()
        os.kill(program, signal.SIGKILL)
        supervisor.popen.wait(10)
        wait_until_ended(supervisor, program, child, *others)


def test_program_that_will_not_stop_is_killed_behind_a_killed_supervisor(tmp_path: Path) -> None:
    ignores = IGNORES.replace('"ready"', "__import__('os').getpid()")
    with supervised(tmp_path, one=ignores) as supervisor:
        pid = number(supervisor, "one")
        supervisor.popen.kill()
        supervisor.popen.wait(10)
        wait_until_ended(supervisor, pid, seconds=15)


def test_reaper_stays_through_signals_and_leaves_with_the_supervisor(tmp_path: Path) -> None:
    with supervised(tmp_path, one=SLEEP) as supervisor:
        pid, reaper = number(supervisor, "one"), reaper_of(supervisor)
        wait_until(lambda: ignores_sigterm(reaper), seconds=10, otherwise=supervisor.output)
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(reaper, signum)
        os.kill(pid, signal.SIGKILL)  # That it starts again shows that time has passed.
        supervisor.wait_for("starts again")
        assert is_running(reaper)
        assert supervisor.stop() == 0
        assert not is_running(reaper)


def test_supervisor_goes_on_without_its_reaper(tmp_path: Path) -> None:
    with supervised(tmp_path, one=SLEEP) as supervisor:
        pid = number(supervisor, "one")
        os.kill(reaper_of(supervisor), signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        supervisor.wait_for("starts again")
        assert supervisor.stop() == 0
    assert "Traceback" not in supervisor.output()
