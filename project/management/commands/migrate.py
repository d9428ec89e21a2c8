"""`manage.py migrate`: Django's own command, which also creates SQLite's file."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections

from project.sqlite.base import file_of


class Command(migrate.Command):
    def execute(self, *args: Any, **options: Any) -> str | None:
        """Create the file before the checks, which may read the database; then migrate."""
        connection = connections[options["database"]]
        if connection.vendor == "sqlite" and (
            file := file_of(str(connection.settings_dict["NAME"]))
        ):
            try:
                file.touch()  # An empty file is an empty database.
            except OSError as error:
                raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        return super().execute(*args, **options)
