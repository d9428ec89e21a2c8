"""Case: the sweep on SQLite."""

import os
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

from django.db import connection

from tests.benchmarks import waiting, ways
from tests.benchmarks.figures import Figure, ratios, took
from tests.benchmarks.measuring import in_turns, measured, times
from tests.benchmarks.postgresql import Server
from tests.benchmarks.runs import Watch
from tests.benchmarks.stage import Size, in_own_process

NUMBERS = """
    WITH RECURSIVE numbers (number) AS (
        SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {})
"""
PEOPLE = f"""
    {NUMBERS} INSERT INTO accounts_user (username, password, is_superuser, first_name, last_name,
        email, is_staff, is_active, date_joined, auto_cleanup, keep_completed_days)
    SELECT 'user' || number, '', 0, '', '', '', 0, number % 50 <> 1, datetime('now'),
           number % 30 <> 1, CASE WHEN number % 40 = 1 THEN 7 END
    FROM numbers
"""
TODOS = f"""
    {NUMBERS} INSERT INTO todos_todo (user_id, title, description, created_at, completed_at)
    SELECT 1 + abs(random()) % {{}}, 'Todo ' || number, '', datetime('now', '-90 days'),
           CASE WHEN number % {{}} = 0 THEN datetime('now', '-40 days') END
    FROM numbers
"""
#: As in `ways`.
RULE = """
    completed_at < datetime('now')
    AND (restored_at IS NULL OR restored_at < datetime('now', '-7 days'))
    AND NOT EXISTS (
        SELECT 1 FROM accounts_user WHERE accounts_user.id = todos_todo.user_id AND (
            NOT is_active OR NOT auto_cleanup
            OR datetime('now', '-' || keep_completed_days || ' days')
               <= max(completed_at, coalesce(restored_at, ''))))
"""
DELETE = f"DELETE FROM todos_todo WHERE {RULE}"
COPY = f"""
    INSERT INTO todos_trashedtodo ({ways.FIELDS}, trashed_at, run_id)
    SELECT {ways.FIELDS}, datetime('now'), 1 FROM todos_todo WHERE {RULE}
"""


class File:
    """A database file (see `Stage`), as the settings say."""

    address: str | Path

    def __init__(self, file: Path, size: Size, runs: int) -> None:
        self.size = size
        self.runs = runs
        self.address = file
        self._filled = file.with_suffix(f".{size.todos}")

    def fill(self, size: Size) -> None:
        """Have people with todos, always the same, and nothing in the trash."""
        if not self._filled.exists():
            with connection.cursor() as cursor:
                cursor.execute(PEOPLE.format(size.users))
                cursor.execute(TODOS.format(size.todos, size.users, size.one_in))
                cursor.execute("ANALYZE")
            connection.close()
            shutil.copyfile(self.address, self._filled)
        connection.close()
        shutil.copyfile(self._filled, self.address)

    def settle(self) -> None:
        """Leave nothing to be done of what came before."""


def on_sqlite(stage: Server) -> list[Figure]:
    """Sweep beside one statement, and while somebody edits, on SQLite."""
    with tempfile.TemporaryDirectory(prefix="tidy-") as folder:
        file = Path(folder) / "tidy.sqlite3"
        with patch.dict(os.environ, DATABASE_URL=f"sqlite:///{file}"):
            return in_own_process(figures, file, stage.size, stage.runs)


def figures(file: Path, size: Size, runs: int) -> list[Figure]:
    """Measure in this process, whose database is the file."""
    stage = File(file, size, runs)
    turns = [
        partial(measured, stage, one_delete),
        partial(measured, stage, ways.sweep, TODO_SWEEP_PAUSE=0.0),
        partial(measured, stage, one_move),
        partial(measured, stage, ways.sweep, TODO_SWEEP_PAUSE=0.0, TODO_TRASH_DAYS=30),
    ]
    delete, deleted, move, moved = times(*in_turns(runs, *turns))
    what = "SQLite, no pauses, sweep {}: rate, by one {}'s"
    return [
        ratios(what.format("without trash", "DELETE"), delete, deleted, note=took(deleted, delete)),
        ratios(what.format("into the trash", "move"), move, moved, note=took(moved, move)),
        *(replace(one, what=f"SQLite, {one.what}") for one in waiting.edits(stage, at_most=60)),
    ]


def one_delete(watch: Watch) -> int:
    """Delete with one statement."""
    return watch.execute(DELETE)


def one_move(watch: Watch) -> int:
    """Move to the trash with one transaction."""
    return watch.execute(COPY, DELETE)
