"""An actor whose effect can be counted, put into a copy of the project."""

import psycopg

from tests.checkout import edit
from tests.processes import Tidy

#: Two steps, the first of which has an effect: a row in a table without any constraint.
ACTOR = '''

@dramatiq.actor(actor_name="count", max_retries=3, time_limit=30 * SECOND_MS, store_results=True)
def count() -> str:
    """Count each slot once."""
    from django.db import connection

    run = current_run()
    with run.step() as account:
        if not account:
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO effect (slot) VALUES (%s)", [run.as_of])
            account["counted"] = True
            # in the first step
    # between two steps
    with run.step() as account:
        account["checked"] = True
    # at the end of the actor
    return "counted"
'''

TABLE = """
    CREATE TABLE effect (
        slot timestamptz NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""


def add_counting_actor(tidy: Tidy, database: psycopg.Connection) -> None:
    """Add the actor, a schedule of every second for it, and the table of its effects."""
    add_counting_code(tidy)
    database.execute(TABLE)


def add_counting_code(tidy: Tidy) -> None:
    """Add the actor, and a schedule of every second for it."""
    with (tidy.folder / "tasks/actors.py").open("a", encoding="utf-8") as actors:
        actors.write(ACTOR)
    edit(
        tidy.folder / "tasks/schedules.py",
        "SCHEDULES = (\n",
        'SCHEDULES = (\n    DefaultSchedule(task="count", every=1),\n',
    )


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
