"""Actors that faults befall, and a watch on what the verdict says meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import psycopg

from tests.processes import Tidy, wait_until

#: Seconds after which a silent process counts as gone, in these tests.
LIVENESS = 5


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
        while not ended.wait(1):
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
    """Give the workers the actors, and the database their table."""
    tidy.inject(actors="faults")
    database.execute("CREATE TABLE effect (at timestamptz DEFAULT clock_timestamp(), what text)")


def enqueue(tidy: Tidy, call: str) -> int:
    """Have code enqueue a run, such as `nap, seconds=3`; return the run's id."""
    code = (
        "from tests.actors.faults import *; from tasks.engine.runs.enqueue import enqueue; "
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


@contextmanager
def database_away(sql: psycopg.Connection, postgresql: Path) -> Iterator[None]:
    """Have the database refuse everyone while the block lasts, and end all connections."""
    name = sql.info.dbname
    with psycopg.connect(host=str(postgresql), user="postgres", autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        end_connections(admin, but=sql)
        try:
            yield
        finally:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@contextmanager
def database_read_only(sql: psycopg.Connection, postgresql: Path) -> Iterator[None]:
    """Have the database accept no writes while the block lasts; end all connections twice."""
    name = sql.info.dbname
    with psycopg.connect(host=str(postgresql), user="postgres", autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        end_connections(admin, but=sql)
        try:
            yield
        finally:
            admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            end_connections(admin, but=sql)


def end_connections(admin: psycopg.Connection, *, but: psycopg.Connection) -> None:
    """End all connections to the database of one of them, but that one."""
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
        [but.info.dbname, but.info.backend_pid],
    )
