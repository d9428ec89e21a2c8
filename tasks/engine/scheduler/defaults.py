"""The first values of schedules: the engine's own, and the project's.

`TASKS_SCHEDULES` is the dotted path of the project's list of them. An entry of the list for a task
of the engine replaces the engine's.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb
from types import NoneType
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.utils.autoreload import BaseReloader
from dramatiq.broker import get_broker

from tasks.engine.actors import ping, runs_prune
from tasks.engine.broker.messages import message_for
from tasks.engine.models import Overlap, Schedule
from tasks.engine.recurrence import Recurrence
from tasks.engine.words import reason

#: The types of a default's values: a wrong one would show only when its row is written.
TYPES: Mapping[str, tuple[type, ...]] = {
    "task": (str,),
    "name": (str,),
    "arguments": (Mapping,),
    "crontab": (str,),
    "every": (int, NoneType),
    "jitter": (timedelta,),
    "overlap": (str,),
    "catch_up": (timedelta,),
}


@dataclass(frozen=True, kw_only=True)
class DefaultSchedule:
    """The first values of a schedule.

    Attributes:
        name: tells it apart, if the task has several.
        arguments: the keyword arguments of its runs.
        crontab: when, in the site's time zone.
        every: instead of a crontab, an interval in seconds.
        jitter: by how much a run may start later, at random.
        overlap: what becomes of a slot while an earlier run is unfinished.
        catch_up: how long after its time a missed slot is still run.

    Raises:
        TypeError, ValueError: a value is invalid; says which, of which task.
    """

    task: str
    name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    crontab: str = ""
    every: int | None = None
    jitter: timedelta = timedelta()
    overlap: Overlap = Overlap.SKIP
    catch_up: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        for name, types in TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, types):
                wanted = types[0].__name__
                raise TypeError(f"schedule of {self}: {name}={value!r} is not of type {wanted}")
        try:
            Recurrence(crontab=self.crontab, every=self.every)
            Schedule(**self.as_fields()).clean_fields(exclude={"effective_since"})
        except ValueError as error:
            raise ValueError(f"schedule of {self}: {error}") from error
        except ValidationError as error:
            faults = [f"{name}: {' '.join(said)}" for name, said in error.message_dict.items()]
            raise ValueError(f"schedule of {self}: {' '.join(faults)}") from error

    def __str__(self) -> str:
        return f"{self.task} ({self.name})" if self.name else str(self.task)

    @property
    def key(self) -> tuple[str, str]:
        return str(self.task), self.name

    def as_fields(self) -> dict[str, Any]:
        """Return the values of its row."""
        return {
            "task": self.task,
            "name": self.name,
            "arguments": dict(self.arguments),
            "crontab": self.crontab,
            "every": self.every,
            "jitter_seconds": int(self.jitter.total_seconds()),
            "overlap": self.overlap,
            "catch_up_seconds": int(self.catch_up.total_seconds()),
        }


ENGINE_SCHEDULES = (
    DefaultSchedule(task=ping.actor_name, every=60, catch_up=timedelta(minutes=1)),
    DefaultSchedule(task=runs_prune.actor_name, crontab="30 3 * * *"),
)


def add_missing_schedules() -> None:
    """Create a row for every default that has none; existing rows stay as staff set them."""
    existing = set(Schedule.objects.values_list("task", "name"))
    for default in default_schedules():
        if default.key not in existing:
            task, name = default.key
            Schedule.objects.get_or_create(task=task, name=name, defaults=default.as_fields())


def default_schedules() -> list[DefaultSchedule]:
    """Return the project's default schedules, and the engine's that they do not replace.

    Raises:
        ImproperlyConfigured: an entry of `TASKS_SCHEDULES` is wrong; says which.
    """
    for error in check_default_schedules():
        raise ImproperlyConfigured(error.msg)
    defaults = {default.key: default for default in (*ENGINE_SCHEDULES, *project_schedules())}
    return list(defaults.values())


def project_schedules() -> Any:
    """Return the value that `TASKS_SCHEDULES` names; nothing if it is not set."""
    path = getattr(settings, "TASKS_SCHEDULES", None)
    if path is None:
        return ()
    if not isinstance(path, str):
        raise TypeError(f"the setting must be the dotted path of a list, not {path!r}")
    module, _, name = path.rpartition(".")
    # Not by Django's `import_string`: it reports an AttributeError within the module as a missing
    # attribute of it.
    return getattr(import_module(module), name)


def watch_schedules(sender: BaseReloader, **_: Any) -> None:
    """Have Django's development server start anew when the module of `TASKS_SCHEDULES` changes.

    It watches only modules that could be imported.
    """
    module = str(getattr(settings, "TASKS_SCHEDULES", "")).rpartition(".")[0]
    with suppress(ImportError, ValueError):
        spec = find_spec(module)
        if spec and spec.origin:
            sender.watch_dir(Path(spec.origin).parent, Path(spec.origin).name)


def line_in_project(error: Exception) -> str:
    """Return where in the module of `TASKS_SCHEDULES` an error arose: ` (line 9)`; or nothing."""
    module = str(settings.TASKS_SCHEDULES).rpartition(".")[0].replace(".", os.sep)
    frames = extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename.endswith(f"{os.sep}{module}.py")]
    return f" (line {lines[-1]})" if lines else ""


def check_default_schedules(**_: Any) -> Iterator[CheckMessage]:
    """Check `TASKS_SCHEDULES`, as one of Django's system checks."""
    try:
        entries = project_schedules()
    except Exception as error:  # noqa: BLE001  (whatever the project's module raises)
        fault = f"{type(error).__name__}: {reason(error)}{line_in_project(error)}"
        yield Error(f"TASKS_SCHEDULES cannot be imported: {fault}", id="tasks.E001")
        return
    if not isinstance(entries, list | tuple):
        kind = type(entries).__name__
        yield Error(f"TASKS_SCHEDULES must name a list or a tuple, not a {kind}.", id="tasks.E001")
        return
    known = get_broker().get_declared_actors()
    seen = set()
    for number, entry in enumerate(entries, start=1):
        name = f"TASKS_SCHEDULES, entry {number}"
        if not isinstance(entry, DefaultSchedule):
            kind = type(entry).__name__
            yield Error(f"{name}: a {kind}, not a DefaultSchedule: {entry!r}", id="tasks.E002")
            continue
        if entry.task not in known:
            yield Error(f"{name}: no actor is called {str(entry.task)!r}.", id="tasks.E003")
        elif fault := fault_of_arguments(entry):
            yield Error(f"{name}: {fault}", id="tasks.E008")
        if entry.key in seen:
            yield Error(f"{name}: {str(entry)!r} has a schedule already.", id="tasks.E004")
        seen.add(entry.key)


def fault_of_arguments(entry: DefaultSchedule) -> str:
    """Return why a schedule's actor does not take its arguments; empty if it does."""
    try:
        message_for(entry.task, entry.arguments)
    except (TypeError, ValueError) as error:
        return reason(error)
    return ""
