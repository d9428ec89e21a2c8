"""Django's own SQLite, except that opening a database never makes its file.

Else a slip in an address would be an empty database. `manage.py migrate` makes the file.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db.backends.sqlite3 import base, features


class DatabaseFeatures(features.DatabaseFeatures):
    """What SQLite can do."""

    # Django would open the database to ask: `manage.py check` has to do without one.
    supports_json_field = True


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to SQLite."""

    features_class = DatabaseFeatures

    def get_connection_params(self) -> dict[str, Any]:
        """Return what to connect with: a file is opened for reading and writing, and not made."""
        params: dict[str, Any] = super().get_connection_params()
        if file := file_of(str(params["database"])):
            params["database"] = f"file:{quote(str(file))}?mode=rw"
        return params


def file_of(name: str) -> Path | None:
    """Return the file of a database of that name; None for one in memory, or an address."""
    return None if name.startswith((":", "file:")) else Path(name)
