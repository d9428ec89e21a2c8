"""Has one cleanup after the other run."""

import subprocess

from tests.chaos.leaving import LEAVING
from tests.chaos.stage import DATABASE_AWAY, Stage
from tests.counting import number

#: Todos that are done anew when a sweep has ended that left fewer than these.
MORE_TODOS = 20_000

#: Todos that one step of a sweep passes at least, and the steps that a sweep makes at most. Todos
#: that were restored stay, so that there are ever more to pass: a sweep shall end all the same.
SMALLEST_BATCH = 50
STEPS = 1600

COMPLETED = "SELECT count(*) FROM todos_todo WHERE completed_at IS NOT NULL"

AGAIN = f"""
    WITH people AS (
        SELECT array_agg(id) AS ids FROM accounts_user
        WHERE is_active AND auto_cleanup AND keep_completed_days IS NULL AND id % 10 != {LEAVING}
    )
    INSERT INTO todos_todo (user_id, title, description, created_at, completed_at)
    SELECT ids[1 + number % cardinality(ids)], 'Again', '', now(), now() - interval '1 hour'
    FROM people, generate_series(1, {MORE_TODOS}) AS number
"""


class Sweeps:
    """Asks for the next cleanup when the one before has ended."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._command: subprocess.Popen[bytes] | None = None

    def look_after(self) -> None:
        """Ask for the next one, if it is time."""
        if self._command and self._command.poll() is None:
            return
        self._command = None
        try:
            with self._stage.connect() as database:
                if number(
                    database,
                    "SELECT count(*) FROM tasks_taskrun WHERE task = 'todo.cleanup'"
                    " AND finished_at IS NULL",
                ):
                    return
                if number(database, f"{COMPLETED} AND restored_at IS NULL") < MORE_TODOS:
                    database.execute(AGAIN.encode())
                batch_size = max(SMALLEST_BATCH, number(database, COMPLETED) // STEPS)
        except DATABASE_AWAY:
            return  # The database is away.
        self._command = self._stage.command(
            "cleanup_todos", "--enqueue", "--batch-size", str(batch_size)
        )

    def end(self) -> None:
        """Wait for what has been asked for to be written."""
        if self._command:
            self._command.wait(120)
            self._command = None
