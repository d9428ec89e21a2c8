"""The database as it was planted, and back to it after each request that wrote."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connection, transaction

from tests.rows import Rows, all_rows

WRITES = re.compile(r"\s*(?:(?:INSERT INTO|UPDATE) \"(\w+)\"|INSERT|UPDATE|DELETE|WITH)\b")

#: What a visit writes: nothing hangs on it.
OF_VISITS = {"accounts_session", "usersessions_usersession"}

#: The copy of a table.
COPY = "fuzz_{}"


class State:
    """What is in all tables.

    Attributes:
        rows: as they were planted.
        wrote: the tables that have been written since; an empty name for any of them.
    """

    def __init__(self) -> None:
        """Take a copy."""
        self.tables = {
            model._meta.db_table: [
                field.column for field in model._meta.local_concrete_fields if not field.generated
            ]
            for model in apps.get_models(include_auto_created=True)
        }
        self.rows: Rows = all_rows()
        self.wrote: set[str] = set()
        with connection.cursor() as cursor:
            for table in self.tables:
                cursor.execute(f"CREATE TABLE {COPY.format(table)} AS SELECT * FROM {table}")

    def put_back(self) -> None:
        """Have all rows as they were planted, if any was written."""
        if not self.wrote:
            return
        some = self.wrote if self.wrote <= OF_VISITS else self.tables
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SET CONSTRAINTS ALL DEFERRED"
                if connection.vendor == "postgresql"
                else "PRAGMA defer_foreign_keys = ON"
            )
            for table in some:
                cursor.execute(f"DELETE FROM {table}")
            for table in some:
                columns = self.tables[table]
                names = ", ".join(f'"{column}"' for column in columns)
                copy = COPY.format(table)
                cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {copy}")
        self.wrote = set()

    def forget(self) -> None:
        """Remove the copy."""
        with connection.cursor() as cursor:
            for table in self.tables:
                cursor.execute(f"DROP TABLE {COPY.format(table)}")

    @property
    def is_changed(self) -> bool:
        """Whether more has been written than what a visit writes."""
        return not self.wrote <= OF_VISITS

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notice what is written in the block."""
        with connection.execute_wrapper(self._note):
            yield

    def _note(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if found := WRITES.match(sql):
            self.wrote.add(found[1] or "")
        return execute(sql, *rest)
