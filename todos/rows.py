"""Rows of one table as SQL: deleted or moved by one statement, in ranges of a key."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connection, transaction
from django.db.models import Expression, Field, Model, QuerySet

from todos.bounds import MAX_ID
from todos.models import Todo


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a queryset.

    It is compiled once and then narrowed to one range after another: to have Django compile each
    range anew takes as long as deleting several thousand rows.

    The conditions stand in the statement that deletes. So a todo that its owner is reopening at
    this moment is looked at again once they have, and stays. Deleting by ids found earlier, be it
    in a subquery of the same statement, would take it.

    Attributes:
        table: its name, quoted.
        key: the field that ranges are made of. Where it is not the primary key, a position is its
            value with the id of a row, for those that share a value.
        where: the condition.
        params: of the condition.
        skip_locked: leave those that somebody else holds.
    """

    table: str
    key: "Field[Any, Any]"
    where: str
    params: tuple[Any, ...]
    skip_locked: bool = False

    @classmethod
    def of(cls, queryset: QuerySet[Any], *, key: str) -> Self:
        """Return the rows of a queryset.

        Args:
            queryset: of one table, without joins; subqueries may refer to others.
            key: the name of the field to make ranges of.

        Raises:
            ValueError: the queryset joins tables or is sliced.
        """
        query = queryset.query.clone()
        table = query.get_initial_alias()
        if query.is_sliced or sum(map(bool, query.alias_refcount.values())) > 1:
            raise ValueError("Only rows of one table, without joins or limits, can be walked.")
        try:
            where, params = query.get_compiler(connection=connection).compile(query.where)
        except FullResultSet:
            where, params = "1 = 1", ()
        except EmptyResultSet:
            where, params = "1 = 0", ()
        field = queryset.model._meta.get_field(key)
        return cls(table=quoted(table), key=field, where=where, params=tuple(params))

    def between(self, after: Any, through: Any) -> Self:
        """Return those that come after one position, up to and including another.

        Args:
            after: None for the beginning.
            through: the last one.
        """
        key = f"{self.table}.{column(self.key)}"
        if isinstance(through, tuple):
            conditions, params = self._between_ties(after, through)
        else:
            bounds = {"<=": through} if after is None else {">": after, "<=": through}
            conditions = [f"{key} {bound} %s" for bound in bounds]
            params = [stored(self.key, value) for value in bounds.values()]
        return replace(
            self,
            where=" AND ".join([self.where, *conditions]),
            params=(*self.params, *params),
        )

    def unlocked(self) -> Self:
        """Return those of them that nobody else holds: to wait for nobody.

        On SQLite, where one holds all or nothing, this is all of them.
        """
        return replace(self, skip_locked=connection.features.has_select_for_update_skip_locked)

    def position_at(self, number: int) -> Any:
        """Return the position of the so-manieth row, counted from 1; None if there are fewer.

        Of a key that rows share, it may be that of a later row, not so far as twice the number: to
        look at the key alone, which is all that the index holds, takes a fraction of the time.
        """
        values = self._values_at(number, self.key)
        if values is None or self.key.primary_key:
            return values and values[0]
        if self._values_at(2 * number, self.key) != values:
            return values[0], MAX_ID
        return self._values_at(number, self.key, self._pk)

    def delete(self) -> int:
        """Delete the rows; return how many went."""
        before, delete, params = self._delete()
        return execute(f"WITH {before} {delete}" if before else delete, params)

    def move(self, to: type[Model], **values: Any) -> int:
        """Move the rows to another table; return how many went.

        Args:
            to: the table of todos from the trash, or the trash from there.
            values: of further fields there, by name, or in place of what they were here; also as
                expressions, such as `CurrentTime()`.
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
            before, delete, params = self._delete()
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
        """Return the values of the so-manieth row, in the order of these fields."""
        names = ", ".join(column(field) for field in fields)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {names} FROM {self.table} WHERE {self.where}"  # noqa: S608  (no input in it)
                f" ORDER BY {names} LIMIT 1 OFFSET {number - 1:d}",
                self.params,
            )
            row = cursor.fetchone()
        return None if row is None else tuple(map(loaded, fields, row))

    def _delete(self) -> tuple[str, str, tuple[Any, ...]]:
        """Return what stands before the statement that deletes, the statement, and parameters."""
        delete = f"DELETE FROM {self.table} WHERE {self.where}"  # noqa: S608
        if not self.skip_locked:
            return "", delete, self.params
        pk = f"{self.table}.{column(self._pk)}"
        free = (
            f"free AS MATERIALIZED (SELECT {pk} FROM {self.table} WHERE {self.where}"  # noqa: S608
            " FOR UPDATE SKIP LOCKED)"
        )
        delete += f" AND {pk} IN (SELECT * FROM free)"  # noqa: S608
        return free, delete, self.params * 2

    def _between_ties(
        self, after: tuple[Any, int] | None, through: tuple[Any, int]
    ) -> tuple[list[str], list[Any]]:
        """Return what holds between two positions. The index is for the conditions on the key."""
        key, pk = (f"{self.table}.{column(field)}" for field in (self.key, self._pk))
        value = stored(self.key, through[0])
        conditions, params = [f"{key} <= %s"], [value]
        if through[1] != MAX_ID:
            conditions.append(f"({key} < %s OR {pk} <= %s)")
            params += [value, through[1]]
        if after is not None:
            value = stored(self.key, after[0])
            if after[1] == MAX_ID:
                conditions.append(f"{key} > %s")
                params.append(value)
            else:
                conditions += [f"{key} >= %s", f"({key} > %s OR {pk} > %s)"]
                params += [value, value, after[1]]
        return conditions, params

    @property
    def _pk(self) -> "Field[Any, Any]":
        return self.key.model._meta.pk


def quoted(name: str) -> str:
    """Return a table's or column's name as it stands in SQL."""
    return connection.ops.quote_name(name)


def column(field: "Field[Any, Any]") -> str:
    """Return a field's column as it stands in SQL."""
    return quoted(field.get_attname_column()[1] or field.attname)


def stored(field: "Field[Any, Any]", value: Any) -> Any:
    """Return a value as the database takes it for a field."""
    return field.get_db_prep_value(value, connection=connection)


def loaded(field: "Field[Any, Any]", value: Any) -> Any:
    """Return a field's value as the database gives it."""
    expression = field.get_col(field.model._meta.db_table)
    for convert in connection.ops.get_db_converters(expression):
        value = convert(value, expression, connection)
    return value


def compiled_value(field: "Field[Any, Any]", value: Any) -> tuple[str, tuple[Any, ...]]:
    """Return a value for a field, or an expression, as SQL with its parameters."""
    if not isinstance(value, Expression):
        return "%s", (stored(field, value),)
    sql, params = Todo.objects.all().query.get_compiler(connection=connection).compile(value)
    return sql, tuple(params)


def execute(sql: str, params: Sequence[Any]) -> int:
    """Execute a statement; return how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)
