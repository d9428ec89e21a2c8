"""Counts the effects of the actor in `tests/actors/counting.py`."""

import psycopg

from tests.processes import Tidy

TABLE = """
    CREATE TABLE effect (
        slot timestamptz NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""


def add_counting_actor(tidy: Tidy, database: psycopg.Connection) -> None:
    """Add the actor, its schedule of every second, and the table of its effects."""
    tidy.inject(actors="counting", every={"count": 1})
    database.execute(TABLE)


def number(database: psycopg.Connection, query: str) -> int:
    """Return the one number that a query gives."""
    row = database.execute(query).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def slots_without_a_row(database: psycopg.Connection) -> int:
    """Count the seconds from the first slot to the last that have no run."""
    return number(
        database,
        """
        SELECT count(*) FROM (
            SELECT generate_series(min(scheduled_for), max(scheduled_for), interval '1 second')
            FROM tasks_taskrun WHERE task = 'count'
        ) AS wanted (slot)
        LEFT JOIN tasks_taskrun ON task = 'count' AND scheduled_for = slot WHERE task IS NULL
        """,
    )


def runs_without_their_effect(database: psycopg.Connection) -> int:
    """Count the runs that succeeded and had no effect."""
    return number(
        database,
        """
        SELECT count(*) FROM tasks_taskrun
        WHERE task = 'count' AND state = 'succeeded' AND NOT EXISTS (
            SELECT FROM effect WHERE slot = scheduled_for
        )
        """,
    )


def effects_too_many(database: psycopg.Connection) -> int:
    """Count the effects beyond one for each run that succeeded."""
    return number(
        database,
        """
        SELECT count(*) - count(DISTINCT run.id) FROM effect
        LEFT JOIN tasks_taskrun AS run
        ON task = 'count' AND scheduled_for = slot AND state = 'succeeded'
        """,
    )
