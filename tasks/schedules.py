"""What runs when, without anyone asking."""

from dataclasses import dataclass
from datetime import UTC, datetime

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from tasks.names import TaskName

CRONTAB_FIELDS = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A task and its times.

    Attributes:
        task: what to run.
        crontab: minute, hour, day of the month, month and day of the week, as cron writes them, in
            the site's time zone. Days of the week by name (`mon`): APScheduler counts them from
            Monday, cron from Sunday.
        every: instead, an interval in seconds; its slots are the multiples since 1970.

    Raises:
        ValueError: neither or both are given, or one makes no sense.
    """

    task: TaskName
    crontab: str | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        if (self.crontab is None) == (self.every is None):
            raise ValueError(f"schedule of {self.task}: give either crontab or every")
        if self.every is not None and self.every < 1:
            raise ValueError(f"schedule of {self.task}: every must be 1 second or more")
        if self.crontab is not None:
            fields = self.crontab.split()
            if len(fields) != CRONTAB_FIELDS:
                raise ValueError(f"schedule of {self.task}: a crontab has {CRONTAB_FIELDS} fields")
            if any(character.isdigit() for character in fields[-1].split("/")[0]):
                raise ValueError(f"schedule of {self.task}: write days of the week as mon, tue, …")

    def trigger(self, time_zone: str) -> BaseTrigger:
        """Return APScheduler's form of these times, in a zone such as `Europe/Berlin`."""
        if self.every is not None:
            return IntervalTrigger(seconds=self.every, start_date=EPOCH, timezone=UTC)
        return CronTrigger.from_crontab(self.crontab, timezone=time_zone)


SCHEDULES = (
    Schedule(task=TaskName.PING, every=60),
    Schedule(task=TaskName.TODO_CLEANUP, crontab="0 2 * * *"),
)
