"""Django's SQLite backend, except that connecting never creates the database file.

Otherwise a typo in an address would create an empty database. `manage.py migrate` creates the file.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db.backends.sqlite3 import base, features


class DatabaseFeatures(features.DatabaseFeatures):
    # Django would connect to find out, but `manage.py check` must work without a database.
    supports_json_field = True


class DatabaseWrapper(base.DatabaseWrapper):
    features_class = DatabaseFeatures

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        if file := file_of(str(params["database"])):
            params["database"] = f"file:{quote(str(file))}?mode=rw"
        return params


def file_of(name: str) -> Path | None:
    """Return the file of a database; None if its name is a URI or means a database in memory."""
    return None if name.startswith((":", "file:")) else Path(name)
