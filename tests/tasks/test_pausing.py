"""Queues are paused and workers asked to leave, with real processes; nothing is lost by it."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import psycopg
import pytest
import redis

from tests.processes import Process, Tidy, wait_until
from tests.tasks.faults import (
    LIVENESS,
    add_actors,
    database_away,
    effects,
    enqueue,
    run_of,
    wait_for_state,
    watching,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WORKER = ("rundramatiq", "--processes=1", "--threads=2")

#: A worker looks every two seconds.
SOON = 15


@pytest.fixture
def sql(tidy: Tidy) -> Iterator[psycopg.Connection]:
    """A connection of the test's own; a liveness of a few seconds; the actors."""
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": str(LIVENESS)}
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as connection:
        add_actors(tidy, connection)
        yield connection


def start(stack: ExitStack, tidy: Tidy, *command: str) -> Process:
    """Start a command, and return when it is ready."""
    process = stack.enter_context(tidy.start(*command))
    process.wait_for("scheduler started" if command[0] == "runscheduler" else "Worker process is")
    return process


def pause(tidy: Tidy, *arguments: str) -> None:
    done = tidy.manage("pause_queue", "default", *arguments)
    assert done.returncode == 0, done.stderr


def ask_to_leave(sql: psycopg.Connection, *, of: Process) -> None:
    """Ask the processes of a worker's command to leave, as the console does."""
    asked = sql.execute(
        "UPDATE tasks_process SET leave_requested_at = now() WHERE command_pid = %s", [of.popen.pid]
    )
    assert asked.rowcount


def number(sql: psycopg.Connection, query: str) -> int:
    row = sql.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_paused_queue_begins_nothing_finishes_what_runs_and_says_so_in_one_line(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with ExitStack() as stack:
        scheduler, worker = (start(stack, tidy, *c) for c in (("runscheduler",), WORKER))
        at_work = [enqueue(tidy, "nap, seconds=20") for _ in range(2)]
        wait_until(lambda: len(effects(sql)) == 2, seconds=SOON, otherwise=worker.output)
        # They wait in the worker, behind the two that it is at work on.
        prefetched = [enqueue(tidy, "nap, seconds=0") for _ in range(2)]
        pause(tidy, "--note", "The mail server moves.")
        waiting = [enqueue(tidy, "nap, seconds=0") for _ in range(2)]
        for run in at_work:
            wait_for_state(sql, run, "succeeded")
        with watching(tidy) as verdicts:
            verdicts.wait_for("The mail server moves.", seconds=SOON)
            paused_at = monotonic()
            wait_until(
                lambda: monotonic() - paused_at > 2 * LIVENESS + 5, seconds=60, otherwise=str
            )
            for said in verdicts.between(paused_at, monotonic()):
                assert said.startswith("The queue default has been paused since 2"), said
                # And the pings whose slots have come.
                assert int(re.findall(r"moves\. (\d+) runs wait\.", said)[0]) >= 4, said
                assert said.count("\n") == 1, said
        assert effects(sql) == ["nap begun"] * 2
        rows = [run_of(sql, run) for run in prefetched + waiting]
        assert {(row["state"], row["attempts"], row["losses"], row["sends"]) for row in rows} == {
            ("queued", 0, 0, 1)
        }
        pause(tidy, "--resume")
        for run in prefetched + waiting:
            row = wait_for_state(sql, run, "succeeded", seconds=SOON)
            assert row["attempts"] == 1
        assert len(effects(sql)) == 6
        assert "Traceback" not in worker.output() + scheduler.output()


def test_run_that_works_in_steps_continues_when_its_queue_is_resumed(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with ExitStack() as stack:
        start(stack, tidy, "runscheduler")
        worker = start(stack, tidy, *WORKER)
        run = enqueue(tidy, "steps, number=30, pause=1")
        wait_until(lambda: "step 2" in effects(sql), seconds=SOON, otherwise=worker.output)
        pause(tidy, "--note=a move")
        row = wait_for_state(sql, run, "pending", "queued")
        done = len(effects(sql))
        assert 15 < done < 30, "one slice"
        assert row["attempts"] == 1
        wait_for_state(sql, run, "queued")
        pause(tidy, "--resume")
        wait_for_state(sql, run, "succeeded")
        assert effects(sql) == [f"step {step}" for step in range(1, 31)]


def test_broker_that_loses_everything_during_a_pause_costs_no_run_and_begins_none(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with ExitStack() as stack:
        start(stack, tidy, "runscheduler")
        worker = start(stack, tidy, *WORKER)
        pause(tidy, "--note=a move")
        runs = [enqueue(tidy, "nap, seconds=0") for _ in range(3)]
        with redis.Redis.from_url(tidy.settings["REDIS_URL"]) as broker:
            broker.flushall()
        newcomer = start(stack, tidy, *WORKER)
        for run in runs:
            wait_until(
                lambda run=run: int(str(run_of(sql, run)["sends"])) == 2,  # type: ignore[misc]
                seconds=60,
                otherwise=lambda: f"not sent again\n{worker.output()}",
            )
        assert effects(sql) == []
        pause(tidy, "--resume")
        for run in runs:
            wait_for_state(sql, run, "succeeded", seconds=SOON)
        assert len(effects(sql)) == 3, newcomer.output()


def test_worker_that_is_asked_to_leave_finishes_and_its_whole_command_ends_in_order(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with ExitStack() as stack:
        start(stack, tidy, "runscheduler")
        leaving = start(stack, tidy, "rundramatiq", "--processes=2", "--threads=1")
        leaving.wait_for("Worker process is ready", times=2)
        at_work = [enqueue(tidy, "nap, seconds=30") for _ in range(2)]
        wait_until(lambda: len(effects(sql)) == 2, seconds=SOON, otherwise=leaving.output)
        prefetched = [enqueue(tidy, "nap, seconds=0") for _ in range(2)]
        staying = start(stack, tidy, *WORKER)
        ask_to_leave(sql, of=leaving)
        for run in prefetched:
            row = wait_for_state(sql, run, "succeeded")
            assert row["attempts"] == 1
            assert row["sends"] == 1
        assert {run_of(sql, run)["state"] for run in at_work} == {"running"}
        assert leaving.popen.poll() is None
        check = tidy.manage("tasks_status", "--check")
        assert check.stdout == "All well.\n"
        for run in at_work:
            assert wait_for_state(sql, run, "succeeded")["attempts"] == 1
        assert leaving.popen.wait(30) == 0, leaving.output()
        assert "Killing worker process" not in leaving.output()
        assert number(sql, "SELECT count(*) FROM tasks_process WHERE kind = 'worker'") == 1
        assert tidy.manage("tasks_status", "--check").stdout == "All well.\n"
        last = enqueue(tidy, "nap, seconds=0")
        wait_for_state(sql, last, "succeeded")
        assert "Traceback" not in leaving.output() + staying.output()


def test_only_worker_that_leaves_is_missed(tidy: Tidy, sql: psycopg.Connection) -> None:
    with ExitStack() as stack:
        start(stack, tidy, "runscheduler")
        worker = start(stack, tidy, *WORKER)
        enqueue(tidy, "nap, seconds=15")
        wait_until(lambda: bool(effects(sql)), seconds=SOON, otherwise=worker.output)
        ask_to_leave(sql, of=worker)
        with watching(tidy) as verdicts:
            verdicts.wait_for("No live worker serves the queue default.")
            verdicts.wait_for("No worker is alive.")
        assert worker.popen.wait(30) == 0


def test_worker_that_was_frozen_begins_nothing_of_a_queue_paused_meanwhile(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with ExitStack() as stack:
        start(stack, tidy, "runscheduler")
        worker = start(stack, tidy, *WORKER)
        os.killpg(worker.popen.pid, signal.SIGSTOP)
        run = enqueue(tidy, "nap, seconds=0")
        pause(tidy, "--note=a move")
        os.killpg(worker.popen.pid, signal.SIGCONT)
        after = [enqueue(tidy, "nap, seconds=0") for _ in range(3)][-1]
        assert effects(sql) == []
        pause(tidy, "--resume")
        for one in (run, after):
            wait_for_state(sql, one, "succeeded")


def test_pause_holds_while_the_database_is_away(
    tidy: Tidy, sql: psycopg.Connection, postgresql: Path
) -> None:
    with ExitStack() as stack:
        start(stack, tidy, "runscheduler")
        worker = start(stack, tidy, *WORKER)
        pause(tidy, "--note=a move")
        run = enqueue(tidy, "nap, seconds=0")
        with database_away(sql, postgresql):
            worker.wait_for("database away")
        worker.wait_for("database back")
        assert effects(sql) == []
        assert run_of(sql, run)["attempts"] == 0
        pause(tidy, "--resume")
        wait_for_state(sql, run, "succeeded")
