"""Which runs a bulk operation is for: all that match, or those that were ticked; and none newer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from django.db.models import Max

from tasks.engine.database import database_now
from tasks.engine.models import TaskRun, TaskRunQuerySet
from tasks.engine.operations.run_filter import MAX_ID, MAX_TEXT, RunFilter, moment

#: Runs that can be ticked one by one, and tasks whose questions can be confirmed.
MAX_TICKED = 1_000


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which runs are meant.

    Attributes:
        matching: what they are like; nothing if they were ticked.
        ticked: their numbers; empty for all that match.
        up_to: the highest number that there was when somebody asked.
        until: when that was, by the database's clock.
    """

    matching: RunFilter = field(default_factory=RunFilter)
    ticked: tuple[int, ...] = ()
    up_to: int
    until: datetime

    def of(self, runs: TaskRunQuerySet) -> TaskRunQuerySet:
        """Return those of some runs that are meant."""
        meant = self.matching.of(runs).filter(pk__lte=self.up_to)
        return meant.filter(pk__in=self.ticked) if self.ticked else meant

    def ends(self) -> dict[str, int] | None:
        """Return the lowest and the highest number that was ticked; None if none was."""
        return {"low": min(self.ticked), "high": max(self.ticked)} if self.ticked else None

    def as_arguments(self) -> dict[str, Any]:
        """Return it as an actor's arguments."""
        bound = {"up_to": self.up_to, "until": self.until.isoformat()}
        if self.ticked:
            return {"ticked": list(self.ticked), **bound}
        return {"matching": self.matching.as_json(), **bound}

    @classmethod
    def of_arguments(
        cls,
        *,
        matching: Mapping[str, Any] | None,
        ticked: Sequence[int] | None,
        up_to: int,
        until: str,
    ) -> Self:
        """Return the selection of an actor's arguments.

        Raises:
            ValueError: they are none; the text says what is wrong.
        """
        if (matching is None) == (ticked is None):
            raise ValueError("give either what the runs are like, or their numbers")
        if type(up_to) is not int or not 0 <= up_to <= MAX_ID:
            raise ValueError("up_to is the highest number of a run")
        if ticked is not None and not are_numbers(ticked):
            raise ValueError(f"ticked are the numbers of 1 to {MAX_TICKED:,} runs")
        return cls(
            matching=RunFilter() if matching is None else RunFilter.from_json(matching),
            ticked=tuple(ticked or ()),
            up_to=up_to,
            until=moment("until", until),
        )


def are_numbers(ticked: object) -> bool:
    """Say whether these can be the numbers of runs that were ticked."""
    if not isinstance(ticked, list | tuple) or not 1 <= len(ticked) <= MAX_TICKED:
        return False
    return all(type(number) is int and 0 < number <= MAX_ID for number in ticked)


def check_selection(
    *,
    up_to: int,
    until: str,
    matching: Mapping[str, Any] | None = None,
    ticked: Sequence[int] | None = None,
    confirmed: Sequence[str] = (),
) -> None:
    """Raise ValueError if an actor's arguments are no selection."""
    Selection.of_arguments(matching=matching, ticked=ticked, up_to=up_to, until=until)
    if not isinstance(confirmed, list | tuple) or len(confirmed) > MAX_TICKED:
        raise ValueError("confirmed are the names of tasks")
    if not all(isinstance(task, str) and len(task) <= MAX_TEXT for task in confirmed):
        raise ValueError("confirmed are the names of tasks")


def bound_now() -> tuple[int, datetime]:
    """Return the highest number of a run, 0 if there is none, and the database's time."""
    highest = TaskRun.objects.aggregate(highest=Max("pk"))["highest"]
    return highest or 0, database_now()
