"""Refusing a database that is not what the code expects, in one line instead of a traceback."""

from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from tasks.engine.database import DATABASE_AWAY

#: What SQLite says, where PostgreSQL would be away: no waiting mends these.
UNUSABLE = ("unable to open database file", "file is not a database", "malformed")


def check_migrated() -> None:
    """Check that all migrations that this version brings have been applied.

    What a later version has applied beyond does not matter. A database that cannot be reached says
    nothing: whoever works with it waits until it is back.

    Raises:
        CommandError: some have not been, there is no database, or its file is something else.
    """
    hang_up()  # What an error has left of a connection tells nothing.
    try:
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError as error:
        check_usable(error)
        if isinstance(error, DATABASE_AWAY):
            return
        raise
    finally:
        hang_up()
    if missing:
        migrations = "1 migration" if missing == 1 else f"{missing} migrations"
        raise CommandError(f"The database lacks {migrations}: run `manage.py migrate` first.")


def hang_up() -> None:
    """Close the connection, unless somebody is in the midst of a transaction."""
    if not connection.in_atomic_block:
        connection.close()


def check_usable(error: Exception) -> None:
    """Check that an error is not one of a file that is no database, or of none.

    Raises:
        CommandError: naming the way out.
    """
    text = str(error)
    if connection.vendor != "sqlite" or not any(reason in text for reason in UNUSABLE):
        return
    if "unable to open" in text:
        raise CommandError(
            "The database's file is not there, or cannot be opened: `manage.py migrate` makes it."
        ) from error
    raise CommandError(f"DATABASE_URL names a file that is no database ({text}).") from error
