"""What operators do meanwhile, by manage.py: restore, purge, stop, acknowledge, discard."""

import subprocess
from collections import Counter
from time import monotonic

import psycopg
import redis

from tests.chaos.leaving import LEAVING
from tests.chaos.stage import DATABASE_AWAY, Stage

#: Between two acts (seconds).
SHORTEST_PAUSE, LONGEST_PAUSE = 3.0, 9.0

#: Between two looks at what failed (seconds). What stands there for longer hides whatever else the
#: verdict should speak of.
LOOK_EVERY = 8.0

#: What restores and purges are asked of: people who stay.
STAYING = f"id %% 10 != {LEAVING}"

ACKNOWLEDGE = """
    UPDATE tasks_taskrun SET acknowledged_at = now() WHERE acknowledged_at IS NULL
    AND finished_at IS NOT NULL AND (state = 'failed' OR has_errors)
"""


def tidy_up(stage: Stage) -> None:
    """Say of every failure that it is known, and discard every dead letter."""
    client = stage.broker()
    try:
        with stage.connect() as database:
            database.execute(ACKNOWLEDGE.encode())
        client.delete("dramatiq:default.XQ", "dramatiq:default.XQ.msgs")
    except (*DATABASE_AWAY, redis.RedisError):
        return  # The database or the broker is away.
    finally:
        client.close()


class Operators:
    """Does one thing after the other."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._command: subprocess.Popen[bytes] | None = None
        self._next = monotonic() + LONGEST_PAUSE
        self._look_at = monotonic() + LOOK_EVERY
        self.done: Counter[str] = Counter()

    def look_after(self) -> None:
        """Do the next thing when it is time."""
        if monotonic() >= self._look_at:
            self._look_at = monotonic() + LOOK_EVERY
            tidy_up(self._stage)
        if self._command and self._command.poll() is None:
            return
        self._command = None
        if monotonic() < self._next:
            return
        chance = self._stage.pauses
        self._next = monotonic() + chance.uniform(SHORTEST_PAUSE, LONGEST_PAUSE)
        act = chance.choice(
            (self._restore, self._restore_run, self._purge, self._purge, self._stop)
        )
        try:
            with self._stage.connect() as database:
                act(database)
        except (*DATABASE_AWAY, redis.RedisError):
            return  # The database or the broker is away.
        self.done[act.__name__.strip("_")] += 1

    def end(self) -> None:
        """Wait for the running command."""
        if self._command:
            self._command.wait(60)
            self._command = None

    def _manage(self, *arguments: str) -> None:
        self._command = self._stage.command(*arguments)

    def _restore(self, database: psycopg.Connection) -> None:
        """Bring one person's todos back that one sweep took."""
        row = database.execute(
            "SELECT run_id, username FROM todos_trashedtodo"
            " JOIN accounts_user ON accounts_user.id = user_id"
            " JOIN tasks_taskrun ON tasks_taskrun.id = run_id AND finished_at IS NOT NULL"
            f" WHERE accounts_user.{STAYING} AND user_id >= %s LIMIT 1".encode(),
            [self._stage.pauses.randrange(1000)],
        ).fetchone()
        if row:
            self._manage("restore_todos", "--run", str(row[0]), "--user", row[1])

    def _restore_run(self, database: psycopg.Connection) -> None:
        """Undo the last sweep altogether, seldom: it takes a while."""
        row = database.execute(
            "SELECT id FROM tasks_taskrun WHERE task = 'todo.cleanup' AND finished_at IS NOT NULL"
            " ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if row and self._stage.pauses.random() < 0.3:
            self._manage("restore_todos", "--run", str(row[0]))

    def _purge(self, database: psycopg.Connection) -> None:
        """Empty one person's trash."""
        row = database.execute(
            f"SELECT username FROM accounts_user WHERE {STAYING} AND id >= %s LIMIT 1".encode(),
            [self._stage.pauses.randrange(1000)],
        ).fetchone()
        if row:
            self._manage("purge_trash", "--older-than", "0", "--user", row[0])

    def _stop(self, database: psycopg.Connection) -> None:
        """Stop a running sweep."""
        row = database.execute(
            "SELECT id FROM tasks_taskrun WHERE task = 'todo.cleanup' AND finished_at IS NULL"
        ).fetchone()
        if row:
            self._manage("stop_run", str(row[0]))
