"""A process is killed at each single step between a slot's claim and the end of its run."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.counting import (
    add_counting_actor,
    effects_too_many,
    number,
    runs_without_their_effect,
    slots_without_a_row,
)
from tests.processes import Process, Tidy, wait_until
from tests.seam.injection import Die, When

pytestmark = pytest.mark.e2e

RUNS = "SELECT count(*) FROM tasks_taskrun WHERE"
SUCCEEDED = f"{RUNS} task = 'count' AND state = 'succeeded'"
UNFINISHED = f"{RUNS} finished_at IS NULL"

ACTOR = "tests.actors.counting"
ATTEMPTS = "tasks.engine.worker.attempts:Attempts"

#: Where to die.
STEPS: dict[str, tuple[When, str]] = {
    "slot written, not committed": ("after", "tasks.engine.models:TaskRun.save"),
    "slot claimed and committed": ("after", "tasks.engine.scheduler.process:claim"),
    "slot claimed, message not sent": (
        "before",
        "tasks.engine.broker.waking:WakingBroker.enqueue",
    ),
    "message sent": ("after", "tasks.engine.broker.waking:WakingBroker.enqueue"),
    "message fetched": ("before", f"{ATTEMPTS}.open"),
    "attempt opened": ("after", f"{ATTEMPTS}.open"),
    "step done, not committed": ("before", f"{ACTOR}:in_first_step"),
    "step committed": ("before", f"{ACTOR}:between_steps"),
    "actor done": ("before", f"{ACTOR}:at_the_end"),
    "end not yet written": ("before", "tasks.engine.models:TaskRun.succeed"),
    "end written, result not stored": ("after", "tasks.engine.models:TaskRun.succeed"),
    "result stored, message not acknowledged": (
        "before",
        "tasks.engine.worker.middleware:UnrecordedRetries.after_process_message",
    ),
}


@pytest.fixture
def counting(tidy: Tidy) -> Iterator[psycopg.Connection]:
    """The actor that counts, every second; a connection to the database."""
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": "5"}
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as database:
        add_counting_actor(tidy, database)
        yield database


@pytest.mark.parametrize("step", STEPS)
def test_slot_has_its_effect_once_whoever_dies(
    tidy: Tidy, counting: psycopg.Connection, tmp_path: Path, step: str
) -> None:
    died = tmp_path / "died"
    when, path = STEPS[step]
    tidy.inject(Die(when, path, mark=str(died)))
    with ExitStack() as stack:

        def start(command: str) -> Process:
            arguments = ("--processes=1", "--threads=2") if command == "rundramatiq" else ()
            return stack.enter_context(tidy.start(command, *arguments))

        running = {command: start(command) for command in ("rundramatiq", "runscheduler")}

        def output() -> str:
            return "\n".join(process.output() for process in running.values())

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
