"""Database functions that Django does not have."""

from datetime import datetime

from django.db import models
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

type Sql = tuple[str, tuple[str | int, ...]]
"""A piece of SQL, and its parameters."""


class DaysBefore(models.Func):
    """The moment a number of days (of 24 hours each) before another; null where the number is.

    On SQLite, Django's own date arithmetic cannot multiply a small integer by a duration, and calls
    Python for every row.
    """

    output_field = models.DateTimeField()

    def __init__(self, moment: datetime, days: str) -> None:
        """Count back from `moment` by as many days as the field `days` holds."""
        super().__init__(models.Value(moment, output_field=self.output_field), days)

    def _compile(self, compiler: SQLCompiler) -> list[Sql]:
        compiled = map(compiler.compile, self.get_source_expressions())
        return [(sql, tuple(params)) for sql, params in compiled]

    def as_postgresql(self, compiler: SQLCompiler, *_: object, **__: object) -> Sql:
        """Return SQL that counts in hours: a "day" is 23 or 25 hours long when clocks change."""
        (moment, moment_params), (days, days_params) = self._compile(compiler)
        sql = f"({moment}::timestamptz - make_interval(hours => {days} * 24))"
        return sql, moment_params + days_params

    def as_sqlite(self, compiler: SQLCompiler, *_: object, **__: object) -> Sql:
        """Return SQL that moves the date alone, so that the time keeps every digit.

        Django stores moments there as text in UTC, such as `2026-03-01 12:00:00.000001`.
        """
        (moment, moment_params), (days, days_params) = self._compile(compiler)
        sql = f"(date({moment}, '-' || {days} || ' days') || substr({moment}, 11))"
        return sql, moment_params + days_params + moment_params


class CurrentTime(models.Func):
    """The moment of the statement, by the database's clock."""

    template = "STATEMENT_TIMESTAMP()"
    output_field = models.DateTimeField()

    def as_sqlite(self, compiler: SQLCompiler, *_: object, **__: object) -> Sql:
        """Return this process's time, which is the same; SQLite's own has no microseconds."""
        sql, params = compiler.compile(models.Value(timezone.now(), self.output_field))
        return sql, tuple(params)
