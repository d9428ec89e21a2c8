"""What runs when, to begin with: from then on staff change it in the admin."""

from dataclasses import dataclass
from datetime import timedelta

from tasks.engine.models import Schedule
from tasks.engine.recurrence import Recurrence
from tasks.names import TaskName


@dataclass(frozen=True, kw_only=True)
class DefaultSchedule:
    """The first values of a schedule.

    Attributes:
        task: what to run.
        crontab: when, in the site's time zone; or else
        every: an interval in seconds.
        catch_up: how long after its time a missed slot is still run.

    Raises:
        ValueError: the times make no sense.
    """

    task: TaskName
    crontab: str = ""
    every: int | None = None
    catch_up: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        try:
            Recurrence(crontab=self.crontab, every=self.every)
        except ValueError as error:
            raise ValueError(f"schedule of {self.task}: {error}") from error


SCHEDULES = (
    DefaultSchedule(task=TaskName.PING, every=60, catch_up=timedelta(minutes=1)),
    DefaultSchedule(task=TaskName.TODO_CLEANUP, crontab="0 2 * * *"),
    DefaultSchedule(task=TaskName.TODO_PURGE, crontab="0 3 * * *"),
    DefaultSchedule(task=TaskName.RUNS_PRUNE, crontab="30 3 * * *"),
)


def add_missing_schedules() -> None:
    """Give every task of SCHEDULES its row; rows that are there stay as staff have them."""
    present = set(Schedule.objects.values_list("task", flat=True))
    for default in SCHEDULES:
        if default.task not in present:
            Schedule.objects.get_or_create(
                task=default.task,
                defaults={
                    "crontab": default.crontab,
                    "every": default.every,
                    "catch_up_seconds": int(default.catch_up.total_seconds()),
                },
            )
