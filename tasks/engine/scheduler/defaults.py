"""The first values of schedules: the engine's own, and the project's.

`TASKS_SCHEDULES` is the dotted path of the project's list of them. An entry of the list for a task
of the engine replaces the engine's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from dramatiq.broker import get_broker

from tasks.engine.actors import ping, runs_prune
from tasks.engine.models import Schedule
from tasks.engine.recurrence import Recurrence


@dataclass(frozen=True, kw_only=True)
class DefaultSchedule:
    """The first values of a schedule.

    Attributes:
        crontab: when, in the site's time zone.
        every: instead of a crontab, an interval in seconds.
        catch_up: how long after its time a missed slot is still run.

    Raises:
        ValueError: the times are invalid.
    """

    task: str
    crontab: str = ""
    every: int | None = None
    catch_up: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        try:
            Recurrence(crontab=self.crontab, every=self.every)
        except ValueError as error:
            raise ValueError(f"schedule of {self.task}: {error}") from error


ENGINE_SCHEDULES = (
    DefaultSchedule(task=ping.actor_name, every=60, catch_up=timedelta(minutes=1)),
    DefaultSchedule(task=runs_prune.actor_name, crontab="30 3 * * *"),
)


def add_missing_schedules() -> None:
    """Create a row for every default whose task has none; existing rows stay as staff set them."""
    existing = set(Schedule.objects.values_list("task", flat=True))
    for default in default_schedules():
        if default.task not in existing:
            Schedule.objects.get_or_create(
                task=default.task,
                defaults={
                    "crontab": default.crontab,
                    "every": default.every,
                    "catch_up_seconds": int(default.catch_up.total_seconds()),
                },
            )


def default_schedules() -> list[DefaultSchedule]:
    """Return the project's default schedules, and the engine's that they do not replace.

    Raises:
        ImproperlyConfigured: an entry of `TASKS_SCHEDULES` is wrong; says which.
    """
    for error in check_default_schedules():
        raise ImproperlyConfigured(error.msg)
    defaults = {default.task: default for default in (*ENGINE_SCHEDULES, *project_schedules())}
    return list(defaults.values())


def project_schedules() -> Any:
    """Import the value that `TASKS_SCHEDULES` names; nothing if it is not set."""
    path = getattr(settings, "TASKS_SCHEDULES", None)
    return import_string(path) if path else ()


def check_default_schedules(**_: Any) -> Iterator[CheckMessage]:
    """Check `TASKS_SCHEDULES`, as one of Django's system checks."""
    try:
        entries = project_schedules()
    except (ImportError, TypeError, ValueError) as error:
        yield Error(f"TASKS_SCHEDULES cannot be imported: {error}", id="tasks.E001")
        return
    if not isinstance(entries, list | tuple):
        kind = type(entries).__name__
        yield Error(f"TASKS_SCHEDULES must name a list or a tuple, not a {kind}.", id="tasks.E001")
        return
    known = get_broker().get_declared_actors()
    seen = set()
    for number, entry in enumerate(entries, start=1):
        where = f"TASKS_SCHEDULES, entry {number}"
        if not isinstance(entry, DefaultSchedule):
            kind = type(entry).__name__
            yield Error(f"{where}: a {kind}, not a DefaultSchedule: {entry!r}", id="tasks.E002")
            continue
        if entry.task not in known:
            yield Error(f"{where}: no actor is called {str(entry.task)!r}.", id="tasks.E003")
        if entry.task in seen:
            yield Error(f"{where}: {str(entry.task)!r} has a schedule already.", id="tasks.E004")
        seen.add(entry.task)
