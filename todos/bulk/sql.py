"""Rows of one table as SQL: deleted or moved by one statement, in ranges of a key.

It depends on undocumented parts of Django: its compiler, and how fields name and convert their
columns. They stand together at the end, and were read in the source of CHECKED_DJANGO. Before you
raise that, read them again; `tests/todos/test_sql.py` says what they have to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connection, transaction
from django.db.models import Expression, Field, Model, QuerySet

from todos.bounds import MAX_ID
from todos.bulk.keys import Key
from todos.models import Todo

#: The version of Django whose source was read.
CHECKED_DJANGO = (6, 1)

type Sql = tuple[str, tuple[Any, ...]]
"""A piece of SQL, and its parameters."""


@dataclass(frozen=True, kw_only=True)
class Rows[K]:
    """The rows of a queryset.

    Its condition is compiled once and then narrowed to one range after another: if Django compiled
    it anew for each, that would take as long as deleting several thousand rows.

    The conditions stand in the statement that deletes. So a todo that its owner is reopening at
    this moment is checked again after that, and stays. Deleting ids that were found earlier, even
    in a subquery of the same statement, would remove it.

    Attributes:
        table: its name, quoted.
        key: what ranges are made of, with its field in the table.
        where: the condition in SQL, with its parameters.
        skip_locked: leave out rows that another transaction has locked.
    """

    table: str
    key: Key[K]
    field: "Field[Any, Any]"
    where: str
    params: tuple[Any, ...]
    skip_locked: bool = False

    @classmethod
    def of(cls, queryset: QuerySet[Any], *, key: Key[K]) -> Self:
        """Return the rows of a queryset, whose subqueries may refer to other tables.

        Raises:
            ValueError: the queryset joins tables or is sliced.
        """
        where, params = compiled_where(queryset)
        field = queryset.model._meta.get_field(key.field)
        table = quoted(queryset.model._meta.db_table)
        return cls(table=table, key=key, field=field, where=where, params=params)

    def between(self, after: K | None, through: K) -> Self:
        """Return the rows after one position (None: from the beginning), through another."""
        rows = self.field.model._meta.base_manager.filter(self.key.between(after, through))
        where, params = compiled_where(rows)
        return replace(self, where=f"{self.where} AND {where}", params=self.params + params)

    def unlocked(self) -> Self:
        """Return the rows that no other transaction has locked; SQLite has no locks on rows."""
        return replace(self, skip_locked=connection.features.has_select_for_update_skip_locked)

    def position_at(self, number: int) -> K | None:
        """Return the position of a row by its number, from 1; None if there are fewer.

        If rows share values of the key, it may be the position of a later row, before twice the
        number: to read the key alone, which is all that the index holds, is many times as fast.
        """
        values = self._values_at(number, self.field)
        if values is None:
            return None
        if not self.key.shared or self._values_at(2 * number, self.field) != values:
            return self.key.position(values[0], MAX_ID)
        both = self._values_at(number, self.field, self._pk)
        return None if both is None else self.key.position(*both)

    def delete(self) -> int:
        """Delete the rows; return how many."""
        before, (delete, params) = self._delete()
        return execute(f"WITH {before} {delete}" if before else delete, params)

    def move(self, to: type[Model], **values: Any) -> int:
        """Move the rows between the list and the trash; return how many.

        Args:
            to: the model to move them to.
            values: new values of fields there, by name; also expressions, such as `CurrentTime()`.
        """
        fields = [field for field in Todo.stored_fields() if field.name not in values]
        kept = ", ".join(column(field) for field in fields)
        target = quoted(to._meta.db_table)
        new = {
            field: values[field.name] for field in to._meta.concrete_fields if field.name in values
        }
        columns = ", ".join([kept, *(column(field) for field in new)])
        compiled = [compiled_value(field, value) for field, value in new.items()]
        select = f"SELECT {', '.join([kept, *(sql for sql, _ in compiled)])}"
        new_params = tuple(param for _, params in compiled for param in params)
        if connection.vendor == "postgresql":
            before, (delete, params) = self._delete()
            gone = ", ".join(filter(None, [before, f"gone AS ({delete} RETURNING {kept})"]))
            return execute(
                f"WITH {gone} INSERT INTO {target} ({columns}) {select} FROM gone",
                params + new_params,
            )
        # SQLite has no such statement, but one writer at a time: both find the same rows.
        with transaction.atomic(savepoint=False):
            moved = execute(
                f"INSERT INTO {target} ({columns}) {select} FROM {self.table} WHERE {self.where}",
                new_params + self.params,
            )
            if self.delete() != moved:
                raise RuntimeError("rows changed while they were moved")
        return moved

    def _values_at(self, number: int, *fields: "Field[Any, Any]") -> tuple[Any, ...] | None:
        names = ", ".join(column(field) for field in fields)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {names} FROM {self.table} WHERE {self.where}"  # noqa: S608  (no input in it)
                f" ORDER BY {names} LIMIT 1 OFFSET {number - 1:d}",
                self.params,
            )
            row = cursor.fetchone()
        return None if row is None else tuple(map(loaded, fields, row))

    def _delete(self) -> tuple[str, Sql]:
        """Return what precedes the statement that deletes, in WITH, and the statement."""
        delete = f"DELETE FROM {self.table} WHERE {self.where}"  # noqa: S608  (as above)
        if not self.skip_locked:
            return "", (delete, self.params)
        pk = f"{self.table}.{column(self._pk)}"
        free = (
            f"free AS MATERIALIZED (SELECT {pk} FROM {self.table} WHERE {self.where}"  # noqa: S608  (as above)
            " FOR UPDATE SKIP LOCKED)"
        )
        delete += f" AND {pk} IN (SELECT * FROM free)"  # noqa: S608  (as above)
        return free, (delete, self.params * 2)

    @property
    def _pk(self) -> "Field[Any, Any]":
        return self.field.model._meta.pk


def execute(sql: str, params: Sequence[Any]) -> int:
    """Execute a statement; return how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


# Undocumented parts of Django; see the top.


def compiled_where(queryset: QuerySet[Any]) -> Sql:
    """Return the condition of a queryset, whose columns are qualified by the table's name.

    Uses `Query.get_initial_alias`, `.alias_refcount`, `.is_sliced` and `.where`, and
    `SQLCompiler.compile`, which raises where a condition holds for all rows, or for none.

    Raises:
        ValueError: the queryset joins tables or is sliced.
    """
    query = queryset.query.clone()
    query.get_initial_alias()
    if query.is_sliced or sum(map(bool, query.alias_refcount.values())) > 1:
        raise ValueError("Only rows of one table can be acted on, without joins or limits.")
    try:
        where, params = query.get_compiler(connection=connection).compile(query.where)
    except FullResultSet:
        return "1 = 1", ()
    except EmptyResultSet:
        return "1 = 0", ()
    return where, tuple(params)


def compiled_value(field: "Field[Any, Any]", value: Any) -> Sql:
    """Return a value for a field, or an expression, as SQL. Uses `SQLCompiler.compile`."""
    if not isinstance(value, Expression):
        return "%s", (field.get_db_prep_value(value, connection=connection),)
    sql, params = Todo.objects.all().query.get_compiler(connection=connection).compile(value)
    return sql, tuple(params)


def loaded(field: "Field[Any, Any]", value: Any) -> Any:
    """Return a field's value from what the database gives.

    Uses `Field.get_col` and `DatabaseOperations.get_db_converters`.
    """
    expression = field.get_col(field.model._meta.db_table)
    for convert in connection.ops.get_db_converters(expression):
        value = convert(value, expression, connection)
    return value


def quoted(name: str) -> str:
    """Return the name of a table or column in SQL. Uses `DatabaseOperations.quote_name`."""
    return connection.ops.quote_name(name)


def column(field: "Field[Any, Any]") -> str:
    """Return the name of a field's column in SQL. Uses `Field.get_attname_column`."""
    return quoted(field.get_attname_column()[1] or field.attname)
