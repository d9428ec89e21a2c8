"""The supervisor, with small real programs."""

import os
import re
import signal
from pathlib import Path

import pytest

from project.dev.reaper import is_running
from tests.processes import wait_until
from tests.supervised import (
    HAS_A_CHILD,
    IGNORES,
    RUNNER,
    SLEEP,
    TELLS,
    number,
    numbers,
    supervised,
    wait_until_ended,
)

pytestmark = pytest.mark.processes


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
        assert not is_running(pid)


def test_program_that_dies_is_started_again_and_the_line_says_how_it_ended(tmp_path: Path) -> None:
    with supervised(tmp_path, one="print('hello'); raise SystemExit(3)") as supervisor:
        supervisor.wait_for("one| hello", times=3)
        assert supervisor.stop() == 0
    assert "one| ended with code 3; starts again in 0.1 s" in supervisor.output()


def test_signal_without_a_name_is_said_by_number(tmp_path: Path) -> None:
    number = signal.SIGRTMIN + 1
    dies = f"import os; os.kill(os.getpid(), {number})"
    with supervised(tmp_path, one=dies) as supervisor:
        supervisor.wait_for(f"one| was ended by signal {number}; starts again")
        assert supervisor.stop() == 0


def test_stop_while_a_program_waits_to_start_again_does_not_wait(tmp_path: Path) -> None:
    with supervised(tmp_path, settings={"PAUSE_SECONDS": "60"}, one="") as supervisor:
        supervisor.wait_for("starts again in 60 s")
        assert supervisor.stop() == 0


def test_hangup_that_nohup_has_ignored_stops_nothing(tmp_path: Path) -> None:
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + RUNNER
    with supervised(tmp_path, runner=ignoring, one=SLEEP) as supervisor:
        pid = number(supervisor, "one")
        supervisor.popen.send_signal(signal.SIGHUP)
        os.kill(pid, signal.SIGKILL)  # That it starts again shows that the supervisor goes on.
        supervisor.wait_for("starts again")
        assert supervisor.stop() == 0


def test_interrupt_stops_a_run_in_the_background_of_a_script_too(tmp_path: Path) -> None:
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + RUNNER
    with supervised(tmp_path, runner=ignoring, one=SLEEP) as supervisor:
        number(supervisor, "one")
        supervisor.popen.send_signal(signal.SIGINT)
        assert supervisor.popen.wait(10) == 0


def test_stop_asks_the_program_alone_and_nothing_that_it_has_started(tmp_path: Path) -> None:
    has_a_child = f"""
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {TELLS!r}], stdout=subprocess.PIPE, text=True)
def stop(*_):
    child.kill()
    print("its child said", child.communicate()[0].split(), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
child.stdout.readline()
print("up", flush=True)
signal.pause()
"""
    with supervised(tmp_path, one=has_a_child) as supervisor:
        supervisor.wait_for("one| up")
        assert supervisor.stop() == 0
    assert "one| its child said []\n" in supervisor.output()


def test_error_of_the_supervisors_own_still_stops_every_program(tmp_path: Path) -> None:
    started = tmp_path / "started"
    ready = f"code], ready=lambda: 1 / 0 if os.path.exists({str(started)!r}) else False)"
    runner = RUNNER.replace("code])", ready)
    assert runner != RUNNER
    starts = SLEEP.replace("time.sleep", f"open({str(started)!r}, 'w').close(); time.sleep")
    with supervised(tmp_path, runner=runner, one=starts) as supervisor:
        pid = number(supervisor, "one")
        assert supervisor.popen.wait(10) == 1
        assert not is_running(pid)
    assert "ZeroDivisionError" in supervisor.output()


def test_program_whose_code_has_changed_restarts_and_the_others_run_on(tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    runner = RUNNER.replace("code])", "code], code_changed=partial(look, name))")
    look = f"""
from functools import partial
from pathlib import Path
def look(name):
    flag = Path({str(changed)!r}) / name
    return flag.exists() and not flag.unlink()
"""
    with supervised(tmp_path, runner=look + runner, one=SLEEP, two=SLEEP) as supervisor:
        one, two = number(supervisor, "one"), number(supervisor, "two")
        changed.mkdir()
        (changed / "one").touch()
        supervisor.wait_for("one| the code has changed: restarts")
        wait_until_ended(supervisor, one)
        wait_until(
            lambda: len(re.findall(r"^one\| \d+$", supervisor.output(), re.MULTILINE)) == 2,
            seconds=10,
            otherwise=supervisor.output,
        )
        assert is_running(two)
        assert supervisor.stop() == 0


def test_program_that_waits_to_start_again_starts_when_its_code_changes(tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    look = f"""
from pathlib import Path
def look():
    return Path({str(changed)!r}).exists() and not Path({str(changed)!r}).unlink()
"""
    runner = look + RUNNER.replace("code])", "code], code_changed=look)")
    with supervised(
        tmp_path, runner=runner, settings={"PAUSE_SECONDS": "60"}, one="print('tried')"
    ) as supervisor:
        supervisor.wait_for("starts again in 60 s")
        changed.touch()
        supervisor.wait_for("one| tried", times=2)
        assert supervisor.stop() == 0


def test_killed_program_comes_back(tmp_path: Path) -> None:
    with supervised(tmp_path, one=SLEEP) as supervisor:
        os.kill(number(supervisor, "one"), signal.SIGKILL)
        supervisor.wait_for("one| was ended by signal 9; starts again in 0.1 s")
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


def test_what_a_dead_program_leaves_behind_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, one=HAS_A_CHILD) as supervisor:
        program, child = numbers(supervisor, "one")
        os.kill(program, signal.SIGKILL)
        supervisor.wait_for("was ended by signal 9")
        wait_until_ended(supervisor, child)
        assert supervisor.stop() == 0


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
    with supervised(tmp_path, runner=runner, bad="", good=SLEEP) as supervisor:
        supervisor.wait_for("bad| cannot be started: ")
        assert is_running(number(supervisor, "good"))
        assert supervisor.stop() == 0
