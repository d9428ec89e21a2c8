"""The scheduler process: on time, beside others, through outages, and never stuck."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import time_machine
from apscheduler.schedulers.background import BackgroundScheduler
from django.utils import timezone

from tasks.engine.models import Schedule, State, TaskRun
from tasks.engine.scheduler import process as module
from tasks.engine.scheduler.defaults import add_missing_schedules, default_schedules
from tasks.engine.scheduler.process import Scheduler
from tasks.engine.scheduler.relay import Relay
from tasks.names import TaskName
from tests.counting import number
from tests.processes import Tidy, wait_for_ticks, wait_until
from tests.seam.injection import Pause, Value
from tests.servers import valkey_server
from tests.tasks.faults import add_actors, database_away


@pytest.fixture
def database_of_tidy(tidy: Tidy) -> Iterator[psycopg.Connection]:
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as database:
        yield database


def runs(database: psycopg.Connection, condition: str) -> int:
    return number(database, f"SELECT count(*) FROM tasks_taskrun WHERE {condition}")


@pytest.mark.e2e
def test_change_by_staff_is_taken_up_within_seconds(
    tidy: Tidy, database_of_tidy: psycopg.Connection, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    with tidy.start("runscheduler", "--alive-file", str(alive)) as scheduler:
        scheduler.wait_for("scheduler started")
        schedules = "SELECT count(*) FROM tasks_schedule"
        wait_until(
            lambda: number(database_of_tidy, schedules) == len(default_schedules()),
            seconds=10,
            otherwise=scheduler.output,
        )
        database_of_tidy.execute("UPDATE tasks_schedule SET every = 1 WHERE task = 'ping'")
        wait_until(
            lambda: runs(database_of_tidy, "task = 'ping'") >= 2,
            seconds=20,
            otherwise=scheduler.output,
        )
        # It waits for a running claim, and there is none after it.
        database_of_tidy.execute("UPDATE tasks_schedule SET enabled = false")
        before = runs(database_of_tidy, "true")
        wait_for_ticks(alive, 2, scheduler)
        assert runs(database_of_tidy, "true") == before
        assert scheduler.stop() == 0


@pytest.mark.e2e
def test_once_claims_and_sends_what_is_due_and_leaves(
    tidy: Tidy, database_of_tidy: psycopg.Connection
) -> None:
    assert tidy.manage("runscheduler", "--once").returncode == 0
    assert runs(database_of_tidy, "true") == 0
    database_of_tidy.execute(
        "UPDATE tasks_schedule SET effective_since = now() - interval '3 days'"
    )
    once = tidy.manage("runscheduler", "--once")
    assert once.returncode == 0, once.stderr
    assert runs(database_of_tidy, "task = 'todo.cleanup' AND state = 'queued'") == 1
    assert runs(database_of_tidy, "task = 'todo.cleanup' AND state = 'skipped'") in {1, 2}
    assert tidy.manage("runscheduler", "--once").returncode == 0
    assert runs(database_of_tidy, "task = 'todo.cleanup' AND state = 'queued'") == 1


@pytest.mark.e2e
def test_once_without_a_broker_fails_in_one_line_and_loses_nothing(
    tidy: Tidy, database_of_tidy: psycopg.Connection
) -> None:
    assert tidy.manage("runscheduler", "--once").returncode == 0
    database_of_tidy.execute(
        "UPDATE tasks_schedule SET effective_since = now() - interval '3 days'"
    )
    broker = tidy.settings["REDIS_URL"]
    tidy.settings = {**tidy.settings, "REDIS_URL": "unix:///nonexistent/valkey.sock"}
    refused = tidy.manage("runscheduler", "--once")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("CommandError: The broker cannot be reached")
    assert runs(database_of_tidy, "task = 'todo.cleanup' AND state = 'pending'") == 1
    tidy.settings = {**tidy.settings, "REDIS_URL": broker}
    due = "task = 'todo.cleanup' AND state = 'pending' AND due_at <= now()"
    wait_until(lambda: runs(database_of_tidy, due) == 1, seconds=10, otherwise=lambda: "not due")
    assert tidy.manage("runscheduler", "--once").returncode == 0
    assert runs(database_of_tidy, "task = 'todo.cleanup' AND state = 'queued'") == 1


@pytest.mark.e2e
def test_database_that_is_away_is_said_once_and_the_scheduler_is_right_again_when_it_is_back(
    tidy: Tidy, database_of_tidy: psycopg.Connection, postgresql: Path, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    tidy.inject(every={"ping": 1})
    with tidy.start("runscheduler", "--alive-file", str(alive)) as scheduler:
        scheduler.wait_for("run published")
        with database_away(database_of_tidy, postgresql):
            scheduler.wait_for('"event": "database away"')
            wait_for_ticks(alive, 2, scheduler)  # It tries again, and says nothing more.
        scheduler.wait_for('"event": "database back"')
        before = runs(database_of_tidy, "true")
        wait_until(
            lambda: runs(database_of_tidy, "true") > before + 1,
            seconds=10,
            otherwise=scheduler.output,
        )
        assert scheduler.stop() == 0
    assert scheduler.output().count("database away") == 1
    assert "Traceback" not in scheduler.output()


@pytest.mark.e2e
def test_scheduler_that_is_stuck_ends_to_be_started_anew(tidy: Tidy) -> None:
    tidy.inject(
        Value("tasks.engine.scheduler.process:STUCK_SECONDS", 3),
        Pause("before", "tasks.engine.scheduler.relay:publish_due", seconds=60),
    )
    with tidy.start("runscheduler") as scheduler:
        assert scheduler.popen.wait(20) == 1
    assert "scheduler stuck" in scheduler.output()
    assert "relay.py" in scheduler.output()  # Where it was stuck.


@pytest.mark.e2e
def test_scheduler_told_to_stop_in_the_middle_of_a_claim_finishes_it_and_ends(
    tidy: Tidy, database_of_tidy: psycopg.Connection
) -> None:
    tidy.inject(every={"ping": 1})
    on_time = "tasks.engine.scheduler.process:Scheduler._on_time"
    tidy.inject(Pause("before", on_time, seconds=2))
    with tidy.start("runscheduler") as scheduler:
        scheduler.wait_for(f"paused before {on_time}")
        assert scheduler.stop(seconds=10) == 0
    assert runs(database_of_tidy, "task = 'ping'") >= 1
    assert "Traceback" not in scheduler.output()


def succeeded_in(database: Path) -> int:
    """Return how many runs have succeeded by what a SQLite file holds."""
    with closing(sqlite3.connect(database)) as connection:
        succeeded = "SELECT count(*) FROM tasks_taskrun WHERE state = 'succeeded'"
        return int(connection.execute(succeeded).fetchone()[0])


@pytest.mark.e2e
def test_two_schedulers_on_sqlite_give_every_second_one_row(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    file = tmp_path / "tidy.sqlite3"
    with valkey_server(tmp_path / "valkey") as broker:
        tidy = Tidy(
            checkout,
            {
                "DJANGO_DEBUG": "true",
                "DJANGO_SECRET_KEY": "x",
                "DATABASE_URL": f"sqlite:///{file}",
                "REDIS_URL": broker,
            },
            logs=tmp_path,
        )
        assert tidy.manage("migrate", "-v0").returncode == 0
        tidy.inject(every={"ping": 1})
        with (
            tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker,
            tidy.start("runscheduler") as first,
            tidy.start("runscheduler") as second,
        ):
            for process in (first, second):
                process.wait_for("scheduler started")
            wait_until(
                lambda: succeeded_in(file) >= 6,
                seconds=60,
                otherwise=lambda: first.output() + second.output() + worker.output(),
            )
            assert [process.stop() for process in (first, second, worker)] == [0, 0, 0]
        listed = tidy.manage(
            "shell",
            "-v0",
            "-c",
            "from tasks.engine.models import TaskRun\n"
            "for run in TaskRun.objects.order_by('scheduled_for'):\n"
            "    print(int(run.scheduled_for.timestamp()), run.state)",
        )
    slots = [line.split() for line in listed.stdout.splitlines()]
    times = [int(slot) for slot, _ in slots]
    assert len(times) >= 6
    assert times == list(range(times[0], times[-1] + 1))
    assert {state for _, state in slots} <= {"succeeded", "skipped", "queued"}
    assert [state for _, state in slots].count("succeeded") >= 4


@pytest.mark.e2e
def test_worker_that_takes_longer_than_it_takes_to_be_thought_dead_keeps_its_run(
    tidy: Tidy, database_of_tidy: psycopg.Connection
) -> None:
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": "5"}
    add_actors(tidy, database_of_tidy)
    with (
        tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker,
        tidy.start("runscheduler") as scheduler,
    ):
        code = "from tests.actors.faults import nap; nap.send(seconds=9)"
        sent = tidy.manage("shell", "-v0", "-c", code)
        assert sent.returncode == 0, sent.stderr
        wait_until(
            lambda: runs(database_of_tidy, "task = 'test.nap' AND state = 'succeeded'") == 1,
            seconds=25,
            otherwise=worker.output,
        )
        assert scheduler.stop() == 0
        assert worker.stop() == 0
    assert runs(database_of_tidy, "task = 'test.nap' AND attempts = 1 AND crashes = 0") == 1


def test_slot_is_planned_anew_when_the_machines_clock_is_set_back(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Relay, "run", lambda _: None)
    clock = BackgroundScheduler(timezone="UTC")
    clock.start(paused=True)
    scheduler = Scheduler()
    monkeypatch.setattr(scheduler, "_clock", clock)

    def seconds_to_the_next_ping() -> float:
        scheduler.tick()
        job = clock.get_job(str(Schedule.objects.get(task=TaskName.PING).pk))
        due: float = (job.next_run_time - timezone.now()).total_seconds()
        return due

    try:
        assert -1 <= seconds_to_the_next_ping() <= 60
        with time_machine.travel(timezone.now() - timedelta(hours=1)):
            assert -1 <= seconds_to_the_next_ping() <= 60
    finally:
        clock.shutdown()


def test_schedule_that_cannot_be_used_keeps_no_other_away(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_missing_schedules()
    monkeypatch.setattr(module, "publish", lambda _: True)
    Schedule.objects.create(task="no.such.task", every=1)
    Schedule.objects.filter(task=TaskName.TODO_CLEANUP).update(timezone="Mars/Olympus")
    Schedule.objects.update(effective_since=timezone.now() - timedelta(days=2))
    Scheduler().run_once()
    queued = set(TaskRun.objects.filter(state=State.QUEUED).values_list("task", flat=True))
    assert queued >= {TaskName.PING, TaskName.TODO_PURGE, TaskName.RUNS_PRUNE}
    assert queued.isdisjoint({"no.such.task", TaskName.TODO_CLEANUP})
