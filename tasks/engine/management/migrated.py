"""Refuses, in one line instead of a traceback, a database that is not migrated or not usable."""

from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from tasks.engine.database import DATABASE_AWAY
from tasks.engine.words import count

#: What SQLite says of a file that is missing or is no database. Waiting does not help.
UNUSABLE = ("unable to open database file", "file is not a database", "malformed")


def check_migrated() -> None:
    """Check that all migrations of this version have been applied.

    Migrations that a later version has applied do not matter. A database that is away passes: its
    users wait until it returns.

    Raises:
        CommandError: migrations are missing, there is no database, or its file is something else.
    """
    close_connection()  # An error before may have left it unusable.
    try:
        missing = missing_migrations()
    except DatabaseError as error:
        check_usable(error)
        if isinstance(error, DATABASE_AWAY):
            return
        raise
    finally:
        close_connection()
    if missing:
        raise CommandError(
            f"The database lacks {count(missing, 'migration')}: run `manage.py migrate` first."
        )


def missing_migrations() -> int:
    """Return how many migrations of this version have not been applied.

    Raises:
        DatabaseError, InterfaceError: the database cannot be used.
    """
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def close_connection() -> None:
    """Close the connection, unless a transaction is open on it."""
    if not connection.in_atomic_block:
        connection.close()


def check_usable(error: Exception) -> None:
    """Raise a CommandError that helps if the file is missing, or is no database."""
    text = str(error)
    if connection.vendor != "sqlite" or not any(reason in text for reason in UNUSABLE):
        return
    if "unable to open" in text:
        raise CommandError(
            "The database file does not exist or cannot be opened: `manage.py migrate` creates it."
        ) from error
    raise CommandError(f"DATABASE_URL names a file that is not a database ({text}).") from error
