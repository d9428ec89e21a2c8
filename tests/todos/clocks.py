"""Clocks that are told what to say."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from django.db import models
from django.utils import timezone

from todos.functions import CurrentTime


@contextmanager
def database_says(moment: datetime, *, trusted: bool = True) -> Iterator[None]:
    """Have the database's clock stand at a moment, for what it stamps and what it is asked.

    Args:
        moment: what it says.
        trusted: whatever this host's clock says.
    """

    def compiled(_: CurrentTime, compiler: Any, *_args: Any, **_kwargs: Any) -> tuple[str, Any]:
        sql, params = compiler.compile(models.Value(moment, models.DateTimeField()))
        return sql, params

    with ExitStack() as patches:
        for vendor in ("postgresql", "sqlite"):
            patches.enter_context(patch.object(CurrentTime, f"as_{vendor}", compiled, create=True))
        for module in ("todos.clock", "tasks.engine.database", "tasks.engine.runs.execution"):
            patches.enter_context(patch(f"{module}.database_now", lambda: moment))
        if trusted:
            patches.enter_context(patch("todos.clock.MOST_APART", timedelta.max))
        yield


@contextmanager
def host_says(moment: datetime) -> Iterator[None]:
    """Have this host's clock stand at a moment, and the database's go on as it does."""
    with patch("django.utils.timezone.now", lambda: moment):
        yield


@contextmanager
def host_is_ahead(by: timedelta) -> Iterator[None]:
    """Have this host's clock differ from the database's, which is right."""
    now = timezone.now()
    with database_says(now, trusted=False), host_says(now + by):
        yield
