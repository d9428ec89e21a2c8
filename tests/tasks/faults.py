"""Actors that faults befall, and a watch on what the verdict says meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic

import psycopg

from tests.processes import Tidy, wait_until

#: Seconds after which a silent process counts as gone, in these tests.
LIVENESS = 6

#: In a copy of the project: each leaves a row for what it has done, in a table without constraints.
ACTORS = '''

def _did(what: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO effect (what) VALUES (%s)", [what])


@dramatiq.actor(
    actor_name="test.steps", max_retries=0, time_limit=20 * MINUTE_MS, store_results=True
)
def test_steps(*, number: int, pause: float = 0.5) -> int:
    """Take steps with a pause after each; each does something outside of its transaction first."""
    import time

    taken = 0
    while taken < number:
        with current_run().step() as account:
            taken = account.get("taken", 0) + 1
            account["taken"] = taken
            _did(f"step {taken}")
        time.sleep(pause)
    return taken


@dramatiq.actor(actor_name="test.nap", max_retries=0, time_limit=20 * MINUTE_MS, store_results=True)
def test_nap(*, seconds: float) -> str:
    """Sleep, without a step."""
    import time

    _did("nap begun")
    time.sleep(seconds)
    return "rested"


@dramatiq.actor(actor_name="test.poison", max_retries=0, time_limit=20 * MINUTE_MS)
def test_poison() -> None:
    """Kill the process."""
    import signal, time

    _did("poison")
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
'''


@dataclass
class Verdicts:
    """What `tasks_status --check` has said: when it was asked, when it had answered, and what.

    In seconds, as `monotonic` counts.
    """

    said: list[tuple[float, float, str]] = field(default_factory=list)

    def between(self, start: float, end: float) -> list[str]:
        """Return what was asked and answered in some time."""
        return [text for asked, told, text in self.said if start <= asked and told <= end]

    def wait_for(self, words: str, *, seconds: float = 30) -> None:
        """Return when it says something of these words, having been asked from now on."""
        now = monotonic()
        wait_until(
            lambda: any(words in text for text in self.between(now, monotonic())),
            seconds=seconds,
            otherwise=lambda: f"{words!r} was not said: {self.between(now, monotonic())}",
        )


@contextmanager
def watching(tidy: Tidy) -> Iterator[Verdicts]:
    """Ask for the verdict again and again while the block lasts."""
    verdicts, ended = Verdicts(), Event()

    def watch() -> None:
        while not ended.wait(0.2):
            asked = monotonic()
            answer = tidy.manage("tasks_status", "--check")
            assert answer.returncode in {0, 1}, answer.stderr
            assert "Traceback" not in answer.stderr, answer.stderr
            verdicts.said.append((asked, monotonic(), answer.stdout + answer.stderr))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield verdicts
    finally:
        ended.set()
        thread.join(60)


def add_actors(tidy: Tidy, database: psycopg.Connection) -> None:
    """Put the actors into a copy of the project, and their table into its database."""
    with (tidy.folder / "tasks/actors.py").open("a", encoding="utf-8") as actors:
        actors.write(ACTORS)
    database.execute("CREATE TABLE effect (at timestamptz DEFAULT clock_timestamp(), what text)")


def enqueue(tidy: Tidy, call: str) -> int:
    """Have code enqueue a run, such as `test_nap, seconds=3`; return the run's id."""
    code = (
        "from tasks.actors import *; from tasks.engine.runs.enqueue import enqueue; "
        f"print(enqueue({call}).pk)"
    )
    asked = tidy.manage("shell", "-v0", "-c", code)
    assert asked.returncode == 0, asked.stderr
    return int(asked.stdout)


def effects(database: psycopg.Connection) -> list[str]:
    """Return what the actors have done, in order."""
    return [what for (what,) in database.execute("SELECT what FROM effect ORDER BY at")]


def run_of(database: psycopg.Connection, run: int) -> dict[str, object]:
    """Return a run's row."""
    cursor = database.cursor(row_factory=psycopg.rows.dict_row)
    row = cursor.execute("SELECT * FROM tasks_taskrun WHERE id = %s", [run]).fetchone()
    assert row is not None
    return row


def wait_for_state(
    database: psycopg.Connection, run: int, *states: str, seconds: float = 60
) -> dict[str, object]:
    """Return a run's row when it is in one of some states."""
    wait_until(
        lambda: run_of(database, run)["state"] in states,
        seconds=seconds,
        otherwise=lambda: f"not {states}: {run_of(database, run)}",
    )
    return run_of(database, run)
