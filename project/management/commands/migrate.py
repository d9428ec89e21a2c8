"""`manage.py migrate`: Django's own command; the only one that makes SQLite's file."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections

from project.sqlite.base import file_of


class Command(migrate.Command):
    """Migrate the database."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Make the file if there is none, then check the project and migrate.

        Raises:
            CommandError: the file cannot be made.
        """
        connection = connections[options["database"]]
        if connection.vendor == "sqlite" and (
            file := file_of(str(connection.settings_dict["NAME"]))
        ):
            make(file)
        return super().execute(*args, **options)


def make(file: Path) -> None:
    """Make an empty file, which is an empty database.

    Raises:
        CommandError: it cannot be made.
    """
    try:
        file.touch()
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
