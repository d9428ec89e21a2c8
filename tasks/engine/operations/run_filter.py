"""Which runs somebody looks for: data that an address and a bulk operation's arguments can hold."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

from django.db.models import Q, TextField
from django.db.models.functions import Cast, Coalesce, Now
from django.utils.timezone import is_aware

from tasks.engine.models import State, TaskRun, TaskRunQuerySet, Trigger

#: Characters of a text to look for.
MAX_TEXT = 200

#: Seconds of a duration to look for: more than ten years.
MAX_SECONDS = 400_000_000

#: The largest number that a run can have.
MAX_ID = 2**63 - 1

#: An argument as Python writes it.
NAMED = re.compile(r"\s*(\w+)\s*=\s*(\S.*)")

#: What a list of runs can be narrowed to that is not one state.
GROUPS: Mapping[str, Callable[[TaskRunQuerySet], TaskRunQuerySet]] = {
    "unfinished": lambda runs: runs.unfinished(),
    "unacknowledged": lambda runs: runs.unacknowledged(),
    "with_errors": lambda runs: runs.filter(has_errors=True),
}
STATES = (*GROUPS, *State.values)


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """What a run must be like. What is empty narrows nothing.

    Attributes:
        task: the name of its task.
        state: one of `STATES`.
        trigger: one of `Trigger`.
        since: it was created at this moment or later.
        until: it was created before this moment.
        at_least: it has worked for so many seconds, or did until it ended.
        error: a text in its error, in capitals or not.
        arguments: a text in its arguments, as they are shown or as somebody typed them.
        search: its number, or the id of its message or of the request that asked for it; or a part
            of its task's, its schedule's or its worker's name.
    """

    task: str = ""
    state: str = ""
    trigger: str = ""
    since: datetime | None = None
    until: datetime | None = None
    at_least: int | None = None
    error: str = ""
    arguments: str = ""
    search: str = ""

    @property
    def reads_details(self) -> bool:
        """Whether it tells what errors or arguments hold, to whoever may not see them."""
        return bool(self.error or self.arguments)

    @property
    def reads_texts(self) -> bool:
        """Whether no index helps to find what it looks for."""
        return self.reads_details or bool(self.search and not self.search.isdecimal())

    def of(self, runs: TaskRunQuerySet) -> TaskRunQuerySet:
        """Return those of some runs that match."""
        conditions = Q()
        if self.state in GROUPS:
            runs = GROUPS[self.state](runs)
        elif self.state:
            conditions &= Q(state=self.state)
        if self.task:
            conditions &= Q(task=self.task)
        if self.trigger:
            conditions &= Q(trigger=self.trigger)
        if self.since:
            conditions &= Q(created_at__gte=self.since)
        if self.until:
            conditions &= Q(created_at__lt=self.until)
        if self.at_least:
            worked_until = Coalesce("finished_at", Now())
            conditions &= Q(started_at__lte=worked_until - timedelta(seconds=self.at_least))
        if self.error:
            conditions &= Q(error__icontains=self.error)
        if self.arguments:
            runs = runs.alias(arguments_text=Cast("arguments", TextField()))
            conditions &= in_json("arguments_text", self.arguments)
        return runs.filter(conditions, named(self.search))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, without what is empty."""
        given = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in given
            if value
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the filter of plain data.

        Raises:
            ValueError: it is none; the text says what is wrong.
        """
        if not isinstance(data, Mapping):
            raise ValueError("a filter of runs is an object")  # noqa: TRY004  (of JSON)
        if unknown := set(data) - {field.name for field in fields(cls)}:
            raise ValueError(f"a filter of runs has no {min(map(str, unknown))!r}")
        return cls(**{name: READERS.get(name, text)(name, data[name]) for name in data})


def in_json(name: str, text: str) -> Q:
    """Return the condition that a column of JSON, as text, holds one.

    As it is, or as a string; or as a name with its value, as Python writes it: `keep_days=3`.
    """
    # SQLite has letters beyond ASCII escaped, PostgreSQL has not.
    forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    if named := NAMED.match(text):
        forms.add(f'"{named[1]}": {named[2]}')
    found = Q()
    for form in sorted(forms):
        found |= Q(**{f"{name}__icontains": form})
    return found


def named(search: str) -> Q:
    """Return the condition that a run has the number, id or name that somebody typed.

    One query asks whether it is an id: then it is no part of a name, for which no index serves.
    """
    if not search:
        return Q()
    if search.isdecimal() and int(search) <= MAX_ID:
        return Q(pk=int(search))
    by_id = Q(request_id=search)
    with suppress(ValueError):
        by_id |= Q(message_id=UUID(search))
    if TaskRun.objects.filter(by_id).exists():
        return by_id
    of_task = Q(task__icontains=search) | Q(schedule_name__icontains=search)
    return of_task | Q(worker__icontains=search)


def text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
        raise ValueError(f"{name} is a text of at most {MAX_TEXT} characters")
    return value


def one_of(*choices: str) -> Callable[[str, object], str]:
    def read(name: str, value: object) -> str:
        if value not in choices:
            raise ValueError(f"{name} is one of {', '.join(choices)}")
        return str(value)

    return read


def moment(name: str, value: object) -> datetime:
    """Return a moment, in UTC."""
    with suppress(ValueError, OverflowError):
        if isinstance(value, str) and is_aware(given := datetime.fromisoformat(value)):
            return given.astimezone(UTC)
    raise ValueError(f"{name} is a date and time with its zone")


def seconds(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SECONDS:
        raise ValueError(f"{name} is a whole number of seconds, up to {MAX_SECONDS:,}")
    return value


READERS: Mapping[str, Callable[[str, object], Any]] = {
    "state": one_of(*STATES),
    "trigger": one_of(*Trigger.values),
    "since": moment,
    "until": moment,
    "at_least": seconds,
}
