"""Attempts as real processes leave them: of a run that fails at first, and of a killed worker."""

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from tests.processes import Tidy, wait_until
from tests.tasks.faults import LIVENESS, add_actors, effects, enqueue, run_of, wait_for_state

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WORKER = ("rundramatiq", "--processes=1", "--threads=2")

#: What the page of a run says: its first line, and its timeline.
READ_PAGE = """
import json, re
from html import unescape
from django.test import Client
from accounts.models import User
boss, _ = User.objects.get_or_create(username="boss", is_staff=True, is_superuser=True)
client = Client()
client.force_login(boss)
html = client.get("/admin/tasks/taskrun/{run}/change/").content.decode()
def words(html):
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())
state, timeline = html.split('class="verdict')[1].split('class="timeline"')
print(json.dumps([
    words(state.split("<strong>")[1].split("</strong>")[0]), words(timeline.split("</section>")[0])
]))
"""


@pytest.fixture
def sql(tidy: Tidy) -> Iterator[psycopg.Connection]:
    """A connection of the test's own; a liveness of a few seconds; the actors."""
    tidy.settings = {**tidy.settings, "TASKS_LIVENESS_SECONDS": str(LIVENESS)}
    with psycopg.connect(tidy.settings["DATABASE_URL"], autocommit=True) as connection:
        add_actors(tidy, connection)
        yield connection


def attempts_of(sql: psycopg.Connection, run: int) -> list[tuple[object, ...]]:
    """Return the number, the outcome and the last line of the error of a run's attempts."""
    query = "SELECT number, outcome, error FROM tasks_attempt WHERE run_id = %s ORDER BY number"
    rows = sql.execute(query, [run]).fetchall()
    return [(n, outcome, (error.split("\n")[-3:-2] or [""])[0]) for n, outcome, error in rows]


def page_of(tidy: Tidy, run: int) -> tuple[str, str]:
    """Return the first line of a run's page, and its timeline."""
    debug = replace(
        tidy,
        settings={**tidy.settings, "DJANGO_DEBUG": "true", "DJANGO_ALLOWED_HOSTS": "testserver"},
    )
    shown = debug.manage("shell", "-v0", "-c", READ_PAGE.replace("{run}", str(run)))
    assert shown.returncode == 0, shown.stderr
    line, timeline = json.loads(shown.stdout)
    return line, timeline


def test_run_that_fails_twice_and_then_succeeds_shows_its_three_attempts(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with tidy.start(*WORKER) as worker, tidy.start("runscheduler") as scheduler:
        run = enqueue(tidy, "stumble, times=2")
        row = wait_for_state(sql, run, "succeeded")
        assert scheduler.stop() == 0
        assert worker.stop() == 0
    assert (row["error"], row["failures"], row["attempts"]) == ("", 2, 3)
    assert attempts_of(sql, run) == [
        (1, "failed", "ValueError: try 1"),
        (2, "failed", "ValueError: try 2"),
    ]
    line, timeline = page_of(tidy, run)
    assert line.startswith("Succeeded in ")
    assert line.endswith("at the third attempt")
    for part in ("attempt 1 by", "ValueError: try 1", "attempt 2 by", "ValueError: try 2"):
        assert part in timeline
    assert "attempt 3 by" in timeline
    assert " succeeded after " in timeline.split("attempt 3 by")[1]


def test_attempt_of_a_killed_worker_is_shown_as_released(
    tidy: Tidy, sql: psycopg.Connection
) -> None:
    with tidy.start("runscheduler") as scheduler:
        with tidy.start(*WORKER) as worker:
            run = enqueue(tidy, "steps, number=40, pause=0.5")
            wait_until(
                lambda: "step 2" in effects(sql), seconds=60, otherwise=lambda: str(effects(sql))
            )
            os.killpg(worker.popen.pid, signal.SIGKILL)
            worker.popen.wait(10)
        killed = run_of(sql, run)["worker"]
        with tidy.start(*WORKER) as worker:
            wait_until(
                lambda: run_of(sql, run)["attempts"] == 2,
                seconds=90,
                otherwise=lambda: str(run_of(sql, run)),
            )
            assert attempts_of(sql, run) == [(1, "released", "")]
            line, timeline = page_of(tidy, run)
            assert worker.stop() == 0
        assert scheduler.stop() == 0
    assert line.startswith("Running for ")
    assert line.endswith(", attempt 2")
    (end,) = re.findall(rf"attempt 1 by {killed} was released after \d+\S* s(.*?) 2", timeline)
    assert end == ", as its process was gone"
    assert "is running" in timeline.split("attempt 2 by")[1]
