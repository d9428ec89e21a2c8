"""Single faults, as they happen: the run goes on, once, and the verdict says what is wrong."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest
import redis

from tasks.engine.models import MOST_CRASHES
from tests.counting import number
from tests.processes import Process, Tidy, wait_until
from tests.seam.injection import Value
from tests.tasks.faults import (
    LIVENESS,
    add_actors,
    database_away,
    database_read_only,
    effects,
    enqueue,
    run_of,
    wait_for_state,
    watching,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

WORKER = ("rundramatiq", "--processes=1", "--threads=4")

#: Recovery on default settings takes 90 s with a liveness of 60 s: a liveness, and half a minute,
#: of which starting processes on a busy machine may take most.
RECOVERY = LIVENESS + 30


@pytest.fixture
def sql(tidy: Tidy) -> Iterator[psycopg.Connection]:
    """A connection of the test's own; a liveness of a few seconds; the actors."""
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": str(LIVENESS)}
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as connection:
        add_actors(tidy, connection)
        yield connection


@contextmanager
def at_work(tidy: Tidy) -> Iterator[tuple[Process, Process]]:
    """Run a worker and a scheduler; end them well."""
    with tidy.start(*WORKER) as worker, tidy.start("runscheduler") as scheduler:
        worker.wait_for("Worker process is ready")
        scheduler.wait_for("scheduler started")
        yield worker, scheduler
        assert scheduler.stop() == 0
        assert worker.stop() == 0


def children(process: Process) -> list[int]:
    """Return the ids of a worker's processes that do the work."""
    listed = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
    return [
        int(pid)
        for pid in listed.read_text().split()
        if b"forkserver" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def wait_for_effect(sql: psycopg.Connection, what: str) -> None:
    wait_until(lambda: what in effects(sql), seconds=30, otherwise=lambda: str(effects(sql)))


def test_run_goes_on_with_one_attempt_however_long_the_database_was_away(
    tidy: Tidy, sql: psycopg.Connection, postgresql: Path
) -> None:
    with at_work(tidy), watching(tidy) as verdicts:
        run = enqueue(tidy, "steps, number=8, pause=1.5")
        nap = enqueue(tidy, f"nap, seconds={3 * LIVENESS}")
        wait_for_effect(sql, "step 2")
        wait_for_effect(sql, "nap begun")
        with database_away(sql, postgresql):
            away = monotonic()
            sleep(2.5 * LIVENESS)
            verdicts.wait_for("database", seconds=60)
            back = monotonic()
        ended = [wait_for_state(sql, one, "succeeded", "failed") for one in (run, nap)]
        verdicts.wait_for("All well.", seconds=RECOVERY)
    assert [(row["state"], row["attempts"], row["crashes"]) for row in ended] == [
        ("succeeded", 1, 0)
    ] * 2
    assert [what for what in effects(sql) if "step" in what] == [
        f"step {step}" for step in range(1, 9)
    ]
    said = verdicts.between(away, back)
    assert said
    assert {text for text in said if "database" not in text} == set()


def test_read_only_database_is_named_and_each_process_reports_it_once(
    tidy: Tidy, sql: psycopg.Connection, postgresql: Path
) -> None:
    with at_work(tidy) as processes, watching(tidy) as verdicts:
        verdicts.wait_for("All well.", seconds=RECOVERY)
        with database_read_only(sql, postgresql):
            verdicts.wait_for("The database is read-only")
            said_at = monotonic()
            sleep(3 * LIVENESS)  # Longer than a process may be silent, and many ticks.
            said = verdicts.between(said_at, monotonic())
        verdicts.wait_for("All well.", seconds=RECOVERY)
        run = enqueue(tidy, "nap, seconds=0")
        wait_for_state(sql, run, "succeeded")
        logged = [process.output() for process in processes]
    assert said
    for text in said:
        assert text.startswith("The database is read-only")
        assert "is alive" not in text
        assert "heartbeat" not in text
    for text in logged:
        # Once for the connections that were ended, and once for what followed.
        assert 1 <= text.count("database away") == text.count("database back") <= 2, text


def test_processes_that_stop_after_the_database_was_restarted_leave_no_trace(
    tidy: Tidy, sql: psycopg.Connection, postgresql: Path
) -> None:
    at = "SELECT count(*) FROM tasks_process"
    with at_work(tidy):
        assert number(sql, at) == 2
        with database_away(sql, postgresql):
            pass  # All connections are cut.
    assert number(sql, at) == 0


def test_broker_without_memory_is_reported_once_by_each_worker(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with at_work(tidy) as (worker, _), redis.Redis.from_url(tidy.settings["REDIS_URL"]) as broker:
        broker.config_set("maxmemory", "1")
        worker.wait_for("broker away")
        sleep(2 * LIVENESS)  # The worker tries again every second or two.
        assert "cannot be used" in tidy.manage("tasks_status", "--check").stdout
        broker.config_set("maxmemory", "0")
        worker.wait_for("broker back")
        run = enqueue(tidy, "nap, seconds=0")
        wait_for_state(sql, run, "succeeded")
        logged = worker.output()
    assert (logged.count("broker away"), logged.count("broker back")) == (1, 1), logged


def test_worker_frozen_in_a_run_and_thawed_ends_it_and_nobody_waits_for_ever(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with at_work(tidy) as (worker, _), watching(tidy) as verdicts:
        run = enqueue(tidy, "nap, seconds=8")
        wait_for_effect(sql, "nap begun")
        with frozen(children(worker)):
            frozen_at = monotonic()
            wait_for_state(sql, run, "pending", "queued", seconds=RECOVERY)
            verdicts.wait_for("No worker is alive.", seconds=60)
            thawed_at = monotonic()
        row = wait_for_state(sql, run, "succeeded", "failed")
        verdicts.wait_for("All well.", seconds=RECOVERY)
        again = enqueue(tidy, "nap, seconds=0")
        assert wait_for_state(sql, again, "succeeded")["attempts"] == 1
    assert (row["state"], row["result"]) == ("succeeded", "rested")
    # Said within the liveness, as "No worker is alive." or by name; never that all is well later.
    said = verdicts.between(frozen_at + LIVENESS, thawed_at)
    assert said
    assert not any("All well." in text for text in said)


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """Hold processes up while the block lasts."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_all_workers_frozen_while_they_step_go_on_and_count_each_step_once(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with at_work(tidy) as (worker, _), tidy.start(*WORKER) as other:
        other.wait_for("Worker process is ready")
        runs = [enqueue(tidy, "steps, number=20, pause=0.3") for _ in range(3)]
        wait_until(
            lambda: effects(sql).count("step 3") == 3,
            seconds=30,
            otherwise=lambda: str(effects(sql)),
        )
        with frozen(children(worker) + children(other)):
            sleep(2 * LIVENESS)
        for run in runs:
            assert wait_for_state(sql, run, "succeeded", "failed")["state"] == "succeeded"
        assert other.stop() == 0
    assert sorted(effects(sql)) == sorted(f"step {step}" for step in range(1, 21) for _ in runs)


def test_database_restarted_between_two_steps_costs_no_attempt_and_repeats_nothing(
    tidy: Tidy, sql: psycopg.Connection, postgresql: Path
) -> None:
    with at_work(tidy):
        run = enqueue(tidy, "steps, number=4, pause=2")
        wait_for_effect(sql, "step 2")
        with database_away(sql, postgresql):
            pass
        row = wait_for_state(sql, run, "succeeded", "failed")
    assert (row["state"], row["attempts"], row["crashes"]) == ("succeeded", 1, 0)
    assert effects(sql) == [f"step {step}" for step in range(1, 5)]


#: Has the database refuse what an actor writes, as on a full disk.
FULL = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100';
    END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON effect EXECUTE FUNCTION refuse();
"""


def test_disk_that_is_full_for_long_fails_no_run_and_is_told(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with at_work(tidy), watching(tidy) as verdicts:
        run = enqueue(tidy, "steps, number=4, pause=1")
        wait_for_effect(sql, "step 1")
        sql.execute(FULL)
        verdicts.wait_for(f"run {run} was interrupted", seconds=30)
        wait_until(
            lambda: int(str(run_of(sql, run)["attempts"])) > MOST_CRASHES + 1,
            seconds=60,
            otherwise=lambda: str(run_of(sql, run)),
        )
        sql.execute("DROP TRIGGER full_disk ON effect")
        row = wait_for_state(sql, run, "succeeded", "failed", seconds=RECOVERY)
        verdicts.wait_for("All well.", seconds=RECOVERY)
    assert (row["state"], row["crashes"], row["failures"]) == ("succeeded", 0, 0)
    assert effects(sql) == [f"step {step}" for step in range(1, 5)]


def test_sweep_of_many_slices_survives_a_lost_message(tidy: Tidy, sql: psycopg.Connection) -> None:
    tidy.inject(Value("tasks.engine.runs.execution:SLICE_SECONDS", 0.02))
    assert tidy.manage("seed_demo", "--users=20", "--todos=40000", "--force").returncode == 0
    with at_work(tidy):
        asked = tidy.manage("cleanup_todos", "--enqueue", "--batch-size=20", "--json")
        run = int(asked.stdout.split()[1].rstrip(","))
        wait_until(
            lambda: int(str(run_of(sql, run)["attempts"])) > 25,
            seconds=60,
            otherwise=lambda: str(run_of(sql, run)),
        )
        client = redis.Redis.from_url(tidy.settings["REDIS_URL"])
        wait_until(
            lambda: bool(client.flushall()) and run_of(sql, run)["state"] == "queued",
            seconds=30,
            otherwise=lambda: str(run_of(sql, run)),
        )
        client.close()
        row = wait_for_state(sql, run, "succeeded", "failed", seconds=RECOVERY + 60)
    assert row["state"] == "succeeded"
    result = row["result"]
    assert isinstance(result, dict)
    assert result["todos_deleted"] == number(sql, "SELECT count(*) FROM todos_trashedtodo")


def test_run_that_kills_its_process_takes_no_other_along(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    poison = enqueue(tidy, "poison")
    bystanders = [enqueue(tidy, "nap, seconds=3") for _ in range(3)]
    with tidy.start("runscheduler") as scheduler, kept_running(tidy, *WORKER) as look_after:
        wait_until(
            lambda: look_after() and run_of(sql, poison)["state"] == "failed",
            seconds=180,
            otherwise=lambda: str(run_of(sql, poison)),
        )
        for run in bystanders:
            wait_until(
                lambda run=run: look_after() and run_of(sql, run)["state"] != "running",  # type: ignore[misc]
                seconds=60,
                otherwise=lambda run=run: str(run_of(sql, run)),  # type: ignore[misc]
            )
            wait_for_state(sql, run, "succeeded", "failed")
        assert scheduler.stop() == 0
    assert [run_of(sql, run)["state"] for run in bystanders] == ["succeeded"] * 3
    assert "died 5 times" in str(run_of(sql, poison)["error"])


@contextmanager
def kept_running(tidy: Tidy, *arguments: str) -> Iterator[Callable[[], bool]]:
    """Run a process; what is yielded starts it again if it has ended, as a supervisor would."""
    with ExitStack() as stack:
        running = [stack.enter_context(tidy.start(*arguments))]

        def look_after() -> bool:
            if running[-1].popen.poll() is not None:
                running.append(stack.enter_context(tidy.start(*arguments)))
            return True

        yield look_after
        assert running[-1].stop(seconds=60) == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_command_that_is_interrupted_stops_at_its_next_step_and_says_how_far_it_came(
    tidy: Tidy, sql: psycopg.Connection, signum: signal.Signals
) -> None:
    assert tidy.manage("seed_demo", "--users=20", "--todos=50000", "--force").returncode == 0
    with tidy.start("cleanup_todos", "--batch-size=20") as command:
        swept = "SELECT count(*) FROM todos_trashedtodo"
        wait_until(lambda: number(sql, swept) > 0, seconds=30, otherwise=command.output)
        command.popen.send_signal(signum)
        assert command.popen.wait(20) == 130
    run, rows = sql.execute(
        "SELECT id, (progress->>'rows')::int FROM tasks_taskrun WHERE state = 'cancelled'"
    ).fetchone() or (0, 0)
    assert rows == number(sql, swept) > 0
    said = command.output().strip().splitlines()
    assert said[-1] == (
        f"CommandError: Stopped: {rows:,} swept, and run {run} is cancelled. The same command"
        f" continues with the rest. manage.py restore_todos --run {run} undoes that."
    )
    assert "Traceback" not in command.output()
    undone = tidy.manage("restore_todos", f"--run={run}")
    assert undone.stdout == f"Restored {rows:,} todos.\n"


def test_cleanup_that_an_operator_stops_ends_with_exact_counts_and_can_be_undone_at_once(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    tidy.settings = {**tidy.settings, "TODO_SWEEP_PAUSE": "3"}
    assert tidy.manage("seed_demo", "--users=20", "--todos=50000", "--force").returncode == 0
    with at_work(tidy):
        asked = tidy.manage("cleanup_todos", "--enqueue", "--batch-size=20", "--json")
        run = int(asked.stdout.split()[1].rstrip(","))
        swept = "SELECT count(*) FROM todos_trashedtodo"
        wait_until(lambda: number(sql, swept) > 0, seconds=30, otherwise=lambda: "not begun")
        stopped = tidy.manage("stop_run", str(run), "--wait=20")
        assert stopped.returncode == 0, stopped.stderr
        row = wait_for_state(sql, run, "cancelled", "succeeded", "failed")
        assert row["state"] == "cancelled"
        rows = number(sql, swept)
        progress = row["progress"]
        assert isinstance(progress, dict)
        assert progress["rows"] == rows > 0
        assert tidy.manage("restore_todos", f"--run={run}").stdout == f"Restored {rows:,} todos.\n"
        again = tidy.manage("cleanup_todos", "--enqueue", "--wait=60", "--json")
        assert again.returncode == 0, again.stderr
