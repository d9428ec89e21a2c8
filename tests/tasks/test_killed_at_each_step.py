"""A process is killed at each single step between a slot's claim and the end of its run."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.checkout import edit
from tests.counting import (
    add_counting_actor,
    effects_too_many,
    number,
    runs_without_their_effect,
    slots_without_a_row,
)
from tests.processes import Process, Tidy, wait_until

pytestmark = pytest.mark.e2e

#: Has the process that comes here first die, at once and for good.
DYING = """
import os
import signal
from pathlib import Path

def here():
    try:
        (Path(__file__).parent / "died").touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
"""

RUNS = "SELECT count(*) FROM tasks_taskrun WHERE"
SUCCEEDED = f"{RUNS} task = 'count' AND state = 'succeeded'"
UNFINISHED = f"{RUNS} finished_at IS NULL"

#: Where to die: a file, a passage of it, and what to put in its place.
STEPS = {
    "slot written, not committed": (
        "tasks/engine/models/run.py",
        "super().save(*args, **kwargs)",
        "super().save(*args, **kwargs); dying.here()",
    ),
    "slot claimed and committed": (
        "tasks/engine/scheduler/process.py",
        "run = claim(schedule_id)",
        "run = claim(schedule_id); dying.here()",
    ),
    "slot claimed, message not sent": (
        "tasks/engine/runs/enqueue.py",
        "get_broker().enqueue(message)",
        "dying.here(); get_broker().enqueue(message)",
    ),
    "message sent": (
        "tasks/engine/runs/enqueue.py",
        "get_broker().enqueue(message)",
        "get_broker().enqueue(message); dying.here()",
    ),
    "message fetched": (
        "tasks/engine/worker/attempts.py",
        "        execution = None\n",
        "        dying.here(); execution = None\n",
    ),
    "run taken up": (
        "tasks/engine/worker/attempts.py",
        "        set_current(execution)\n",
        "        dying.here(); set_current(execution)\n",
    ),
    "step done, not committed": ("tasks/actors.py", "# in the first step", "dying.here()"),
    "step committed": ("tasks/actors.py", "# between two steps", "dying.here()"),
    "actor done": ("tasks/actors.py", "# at the end of the actor", "dying.here()"),
    "end not yet written": (
        "tasks/engine/worker/closing.py",
        "        if not run.succeed(result)",
        "        dying.here()\n        if not run.succeed(result)",
    ),
    "end written, result not stored": (
        "tasks/engine/worker/closing.py",
        "    elif exception is None or isinstance(",
        "        dying.here()\n    elif exception is None or isinstance(",
    ),
    "result stored, message not acknowledged": (
        "tasks/engine/worker/middleware.py",
        '        """Send a failed message again; with',
        '        dying.here()\n        """Send a failed message again; with',
    ),
}


@pytest.fixture
def counting(tidy: Tidy) -> Iterator[psycopg.Connection]:
    """Give the copy the actor that counts, every second; return a connection to the database."""
    (tidy.folder / "dying.py").write_text(DYING, encoding="utf-8")
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": "5"}
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as database:
        add_counting_actor(tidy, database)
        yield database


def die_at(folder: Path, step: str) -> None:
    """Have the first process that comes to a step die there."""
    file, old, new = STEPS[step]
    edit(folder / file, old, new)
    path = folder / file
    first_import = "\nfrom " if file != "tasks/engine/worker/middleware.py" else "\nfrom functools"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(first_import, f"\nimport dying{first_import}", 1))


@pytest.mark.parametrize("step", STEPS)
def test_slot_has_its_effect_once_whoever_dies(
    tidy: Tidy, counting: psycopg.Connection, step: str
) -> None:
    die_at(tidy.folder, step)
    with ExitStack() as stack:

        def start(command: str) -> Process:
            arguments = ("--processes=1", "--threads=2") if command == "rundramatiq" else ()
            return stack.enter_context(tidy.start(command, *arguments))

        running = {command: start(command) for command in ("rundramatiq", "runscheduler")}

        def output() -> str:
            return "\n".join(process.output() for process in running.values())

        died = tidy.folder / "died"
        wait_until(died.exists, seconds=30, otherwise=output)
        wait_until(
            lambda: any(process.popen.poll() is not None for process in running.values()),
            # Dramatiq's master waits 30 s for a worker that died while it started.
            seconds=45,
            otherwise=output,
        )
        for command in [name for name, process in running.items() if process.popen.poll()]:
            running[command] = start(command)
        # What was under way when the process died, and three more.
        ended = number(counting, "SELECT count(*) FROM effect") + 4
        wait_until(lambda: number(counting, SUCCEEDED) >= ended, seconds=40, otherwise=output)
        counting.execute("UPDATE tasks_schedule SET enabled = false")
        wait_until(lambda: not number(counting, UNFINISHED), seconds=30, otherwise=output)
        assert running["runscheduler"].stop() == 0
        assert running["rundramatiq"].stop() == 0

    assert slots_without_a_row(counting) == 0
    assert runs_without_their_effect(counting) == 0
    assert effects_too_many(counting) == 0
    assert number(counting, f"{RUNS} task = 'count' AND state = 'failed'") == 0
