"""Database functions that Django does not have."""

from datetime import datetime
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone


class DaysBefore(models.Func):
    """The moment a number of days (of 24 hours each) before another; null where the number is.

    Django's own date arithmetic cannot multiply a small integer by a duration on SQLite, and calls
    Python for every row there.
    """

    output_field = models.DateTimeField()

    def __init__(self, moment: datetime, days: str) -> None:
        """Count back from `moment` by as many days as the field `days` holds."""
        super().__init__(models.Value(moment, output_field=self.output_field), days)

    def _compile(
        self, compiler: SQLCompiler
    ) -> tuple[str, tuple[str | int, ...], str, tuple[str | int, ...]]:
        moment, days = self.get_source_expressions()
        moment_sql, moment_params = compiler.compile(moment)
        days_sql, days_params = compiler.compile(days)
        return moment_sql, tuple(moment_params), days_sql, tuple(days_params)

    def as_postgresql(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,  # noqa: ARG002  (Django hands it to every such method)
        **extra_context: Any,  # noqa: ARG002
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return SQL that counts in hours: a "day" is 23 or 25 hours long when clocks change."""
        moment, moment_params, days, days_params = self._compile(compiler)
        sql = f"({moment}::timestamptz - make_interval(hours => {days} * 24))"
        return sql, moment_params + days_params

    def as_sqlite(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,  # noqa: ARG002  (Django hands it to every such method)
        **extra_context: Any,  # noqa: ARG002
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return SQL that moves the date alone, so that the time keeps every digit.

        Django stores moments there as text in UTC, such as `2026-03-01 12:00:00.000001`.
        """
        moment, moment_params, days, days_params = self._compile(compiler)
        sql = f"(date({moment}, '-' || {days} || ' days') || substr({moment}, 11))"
        return sql, moment_params + days_params + moment_params


class CurrentTime(models.Func):
    """The moment of the statement, by the database's clock."""

    template = "STATEMENT_TIMESTAMP()"
    output_field = models.DateTimeField()

    def as_sqlite(
        self,
        compiler: SQLCompiler,
        connection: BaseDatabaseWrapper,  # noqa: ARG002  (Django hands it to every such method)
        **extra_context: Any,  # noqa: ARG002
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return this process's time: the same, and SQLite's own counts no microseconds."""
        sql, params = compiler.compile(models.Value(timezone.now(), self.output_field))
        return sql, tuple(params)
