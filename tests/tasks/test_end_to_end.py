"""The whole path with real processes: scheduler, broker, worker, database."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from tests.counting import number
from tests.processes import Tidy, events, wait_for_ticks, wait_until, without_log

pytestmark = pytest.mark.e2e

CLEANUPS = "SELECT count(*) FROM tasks_taskrun WHERE task = 'todo.cleanup'"

#: The rule, in SQL of its own: the todos that a cleanup as of a moment leaves.
SURVIVORS = """
    SELECT todo.id FROM todos_todo AS todo JOIN accounts_user AS owner ON owner.id = todo.user_id
    WHERE NOT (
        todo.completed_at IS NOT NULL AND owner.is_active AND owner.auto_cleanup
        AND todo.completed_at < %s - 24 * coalesce(owner.keep_completed_days, 0) * interval '1 hour'
    )
"""


def ids(database: psycopg.Connection, query: str, *arguments: object) -> set[int]:
    return {row[0] for row in database.execute(query, arguments)}


def test_scheduled_cleanup_leaves_exactly_what_the_rule_says(tidy: Tidy) -> None:
    tidy.inject(every={"todo.cleanup": 3})
    seeded = tidy.manage("seed_demo", "--users=1000", "--todos=100000", "--seed=7", "--force")
    assert seeded.returncode == 0, seeded.stderr

    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as database:
        before = ids(database, "SELECT id FROM todos_todo")
        earliest = ids(database, SURVIVORS, datetime.now(UTC))
        with (
            tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker,
            tidy.start("runscheduler") as scheduler,
        ):
            worker.wait_for("todos_deleted", times=2, seconds=60)
            assert scheduler.stop() == 0
            assert worker.stop() == 0
        latest = ids(database, SURVIVORS, datetime.now(UTC))
        after = ids(database, "SELECT id FROM todos_todo")

    assert len(before) == 100_000
    assert latest <= after <= earliest
    assert 10_000 < len(after) < 90_000
    ended = [
        event
        for event in events(worker.output())
        if event["event"] == "run succeeded" and event["task"] == "todo.cleanup"
    ]
    swept = [event["counts"]["todos_deleted"] for event in ended]
    assert sum(swept) == len(before) - len(after)


def test_result_of_a_cleanup_comes_back_in_a_shell(tidy: Tidy) -> None:
    assert tidy.manage("seed_demo", "--users=20", "--todos=500", "--force").returncode == 0
    expected = json.loads(tidy.manage("cleanup_todos", "--dry-run", "--json").stdout)
    assert expected.pop("dry_run") is True
    with tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker:
        shell = tidy.manage(
            "shell",
            "-v0",
            "-c",
            "from tasks.actors import todo_cleanup\n"
            "print(todo_cleanup.send().get_result(block=True, timeout=30_000) | {'shell': 1})",
        )
        again = tidy.manage("cleanup_todos", "--enqueue", "--wait=30", "--json")
        assert worker.stop() == 0

    assert shell.stdout == f"{expected | {'shell': 1}}\n"
    assert expected["todos_deleted"] > 0
    assert json.loads(again.stdout) == expected | {"todos_deleted": 0}


def test_progress_of_a_cleanup_is_shown_on_a_terminal_and_not_in_a_pipe(tidy: Tidy) -> None:
    assert tidy.manage("seed_demo", "--users=20", "--todos=500", "--force").returncode == 0
    code, shown = tidy.at_terminal("cleanup_todos", "--keep-days=300")
    assert code == 0
    assert re.search(r"100%.* swept", shown)
    _, shown = tidy.at_terminal("cleanup_todos", "--json", "--keep-days=200")
    assert without_log(shown).startswith("{")
    piped = tidy.manage("cleanup_todos")
    assert (piped.returncode, without_log(piped.stderr)) == (0, "")
    (ended,) = events(piped.stderr)  # As a worker logs it.
    assert (ended["event"], ended["trigger"]) == ("run succeeded", "command")
    assert re.fullmatch(
        r"Swept [1-9]\d* completed todos of \d+ people taking part\.\n", piped.stdout
    )


def test_ping_is_answered_by_a_worker_and_fails_in_one_line_without_one(tidy: Tidy) -> None:
    alone = tidy.manage("ping", "--wait=1")
    assert alone.returncode == 1
    assert alone.stderr.startswith("CommandError: No worker has finished ping within 1 s")
    assert alone.stderr.count("\n") == 1

    with tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker:
        answered = tidy.manage("ping", "--wait=30")
        assert worker.stop() == 0
    assert answered.returncode == 0, answered.stderr
    assert re.fullmatch(r"pong from \S+ \(process \d+\) after \d+ ms\n", answered.stdout)


def test_broker_that_is_down_is_one_clear_line(tidy: Tidy) -> None:
    tidy.settings = {**tidy.settings, "REDIS_URL": "unix:///nonexistent/valkey.sock"}
    refused = tidy.manage("ping")
    assert refused.returncode == 1
    assert refused.stderr.startswith("CommandError: The broker cannot be reached: ")
    assert refused.stderr.count("\n") == 1


def test_cleanup_enqueued_while_the_broker_is_down_goes_out_when_it_is_back(tidy: Tidy) -> None:
    broker = tidy.settings["REDIS_URL"]
    tidy.settings = {**tidy.settings, "REDIS_URL": "unix:///nonexistent/valkey.sock"}
    enqueued = tidy.manage("cleanup_todos", "--enqueue")
    assert enqueued.returncode == 0, enqueued.stderr
    assert re.fullmatch(r"Run \d+ will be published when the broker is back\.\n", enqueued.stdout)
    late = tidy.manage("cleanup_todos", "--enqueue", "--wait=1")
    assert late.returncode == 1
    assert re.search(
        r"Run \d+ of todo.cleanup has not ended within 1 s; it is pending", late.stderr
    )

    tidy.settings = {**tidy.settings, "REDIS_URL": broker}
    with (
        tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker,
        tidy.start("runscheduler") as scheduler,
        psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as database,
    ):
        wait_until(
            lambda: number(database, f"{CLEANUPS} AND state = 'succeeded'") == 2,
            seconds=20,
            otherwise=scheduler.output,
        )
        assert scheduler.stop() == 0
        assert worker.stop() == 0


def test_cleanup_in_a_command_that_is_killed_is_continued_by_a_worker(tidy: Tidy) -> None:
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": "5"}
    seeded = tidy.manage("seed_demo", "--users=100", "--todos=50000", "--force")
    assert seeded.returncode == 0, seeded.stderr
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as database:
        with tidy.start("cleanup_todos", "--batch-size=20") as command:
            wait_until(
                lambda: number(database, f"{CLEANUPS} AND (progress->>'rows')::int > 0") == 1,
                seconds=20,
                otherwise=command.output,
            )
            command.popen.kill()
            command.popen.wait(10)
        assert number(database, f"{CLEANUPS} AND state = 'running'") == 1
        with (
            tidy.start("rundramatiq", "--processes=1", "--threads=2") as worker,
            tidy.start("runscheduler") as scheduler,
        ):
            wait_until(
                lambda: number(database, f"{CLEANUPS} AND state = 'succeeded'") == 1,
                seconds=40,
                otherwise=lambda: worker.output() + scheduler.output(),
            )
            assert scheduler.stop() == 0
            assert worker.stop() == 0
        counted = number(
            database,
            "SELECT result->'todos_deleted' FROM tasks_taskrun WHERE task = 'todo.cleanup'",
        )
        assert counted == 50_000 - number(database, "SELECT count(*) FROM todos_todo")
        assert number(database, f"{CLEANUPS} AND attempts >= 2") == 1


def test_database_that_is_down_is_one_clear_line(tidy: Tidy) -> None:
    tidy.settings = {**tidy.settings, "DATABASE_URL": "postgresql://x@/x?host=/nonexistent"}
    refused = tidy.manage("cleanup_todos")
    assert refused.returncode == 1
    assert refused.stderr.startswith("manage.py: the database failed: ")
    assert refused.stderr.count("\n") == 1


def test_scheduler_outlives_a_broker_that_is_away(tidy: Tidy, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    tidy.inject(every={"ping": 1})
    reachable = tidy.settings
    tidy.settings = {**reachable, "REDIS_URL": "unix:///nonexistent/valkey.sock"}
    with tidy.start("runscheduler", "--alive-file", str(alive)) as scheduler:
        scheduler.wait_for('"event": "broker away"')
        wait_for_ticks(alive, 2, scheduler)  # It says so once, and keeps trying.
        assert scheduler.popen.poll() is None
        assert scheduler.stop() == 0
    assert scheduler.output().count("broker away") == 1
    assert "Traceback" not in scheduler.output()


def test_scheduler_touches_the_file_that_shows_its_clock_is_running(
    tidy: Tidy, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    with tidy.start("runscheduler", "--alive-file", str(alive)) as scheduler:
        wait_until(alive.exists, seconds=15, otherwise=scheduler.output)
        assert scheduler.stop() == 0


def test_schedule_of_a_task_without_an_actor_stops_the_scheduler_at_once(tidy: Tidy) -> None:
    tidy.inject(every={"test.wave": 1})
    refused = tidy.manage("runscheduler", seconds=30)
    assert refused.returncode == 1
    (line,) = [line for line in refused.stderr.splitlines() if "test.wave" in line]
    assert "(tasks.E003)" in line
    assert "Traceback" not in refused.stderr
