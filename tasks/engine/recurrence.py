"""When a schedule's slots are: a crontab in a time zone, or an interval.

Cron's own rules hold: 0 and 7 are Sunday; a fixed time that the clocks skip comes as soon as they
have jumped, and one that comes twice counts the first time. Only what depends on every minute or
every hour (`*`, `*/5`) follows the hours as they really pass.

The library cronsim finds the times that a crontab names. It is told that the zone is UTC, as it
loses some or never returns where clocks change (cronsim 2.8); when those times are is found here.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")

#: What stands between the commas of a field: `*`, a number, a name or a range, and a step. Not a
#: range of one number and a step: cronsim takes `5-5/10` as `5/10`.
_TERM = re.compile(r"(\*|(\d+|[a-z]{3})(-(?!\2/)(\d+|[a-z]{3}))?)(/\d+)?", re.IGNORECASE)

#: The longest interval that makes sense: a week, in seconds.
LONGEST_INTERVAL = 7 * 24 * 60 * 60

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """The times of a schedule; all that go in and come out are aware, those that come out in UTC.

    Attributes:
        crontab: minute, hour, day of the month, month and day of the week, as cron writes them.
        every: instead, an interval in seconds; its slots are the multiples since 1970.
        timezone: the zone that the crontab is meant in, such as `Europe/Berlin`.

    Raises:
        ValueError: neither or both are given, or one makes no sense; says which and why.
    """

    crontab: str = ""
    every: int | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if bool(self.crontab) == (self.every is not None):
            raise ValueError("Give either a crontab or an interval in seconds.")
        if self.every is not None and not 1 <= self.every <= LONGEST_INTERVAL:
            raise ValueError(f"The interval must be from 1 to {LONGEST_INTERVAL:,} seconds.")
        if self.crontab:
            check_crontab(self.crontab)
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{self.timezone!r} is no time zone such as Europe/Berlin.") from error

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Return the slots later than a moment, the earliest first."""
        if self.every is not None:
            return self._multiples(moment, step=1)
        return self._cron(moment, reverse=False)

    def until(self, moment: datetime) -> Iterator[datetime]:
        """Return the slots up to a moment, that moment included, the latest first."""
        if self.every is not None:
            return self._multiples(moment, step=-1)
        return self._cron(moment, reverse=True)

    def describe(self) -> str:
        """Say it in words."""
        if self.every is not None:
            return "Every second" if self.every == 1 else f"Every {self.every:,} seconds"
        words: str = CronSim(self.crontab, EPOCH).explain()
        return f"{words} ({self.timezone})"

    def _multiples(self, moment: datetime, *, step: int) -> Iterator[datetime]:
        interval = timedelta(seconds=self.every or 0)
        number = (moment - EPOCH) // interval + (step > 0)
        while True:
            yield EPOCH + number * interval
            number += step

    def _cron(self, moment: datetime, *, reverse: bool) -> Iterator[datetime]:
        zone = ZoneInfo(self.timezone)
        local = moment.astimezone(UTC).astimezone(zone)
        # Where the clocks show the same times twice, look at both: they differ by so much, or by 0.
        repeated = _at(local, zone, fold=1) - _at(local, zone, fold=0)
        # Whole seconds; the moment itself counts when looking back, and not when looking ahead.
        start = local.replace(tzinfo=UTC, microsecond=0)
        start += repeated + SECOND if reverse else -repeated

        passing = any(field.startswith("*") for field in self.crontab.split()[:2])
        found = [
            _moments(CronSim(self.crontab, start, reverse), zone, fold=fold, skipped=not passing)
            for fold in ((0, 1) if passing else (0,))
        ]
        # What comes but once is found with either fold; what is skipped comes together, after the
        # jump. Both are one slot.
        last = None
        for slot in merge(*found, reverse=reverse):
            if slot != last and (slot <= moment if reverse else slot > moment):
                yield slot
            last = slot


def _at(wall: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    """Return when the clocks of a zone show a time, the first or the second time that they do."""
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clocks of a zone show, as if that were UTC."""
    return moment.astimezone(zone).replace(tzinfo=UTC, fold=0)


def _moments(
    walls: Iterator[datetime], zone: ZoneInfo, *, fold: int, skipped: bool
) -> Iterator[datetime]:
    """Yield when the clocks show each of some times; if wanted, when they have skipped one."""
    for wall in walls:
        moment = _at(wall, zone, fold=fold)
        if _shown(moment, zone) == wall:
            yield moment
        elif skipped:
            # By the clocks of before it is later than the jump, by those of after earlier.
            early = _at(wall, zone, fold=1)
            minutes = range((moment - early) // MINUTE + 1)
            yield early + MINUTE * bisect_left(
                minutes, wall, key=lambda number: _shown(early + number * MINUTE, zone)
            )


def check_crontab(crontab: str) -> None:
    """Refuse what is no crontab, or none that ever comes.

    Raises:
        ValueError: saying which field is wrong.
    """
    fields = crontab.split()
    if len(fields) != len(FIELDS):
        raise ValueError(
            f"A crontab has five fields ({', '.join(FIELDS)}); this one has {len(fields)}."
        )
    for index, (name, field) in enumerate(zip(FIELDS, fields, strict=True)):
        alone = " ".join("*" if other != index else field for other in range(len(FIELDS)))
        try:
            if not all(_TERM.fullmatch(term) for term in field.split(",")):
                raise CronSimError  # noqa: TRY301  (one complaint for whoever finds it wrong)
            CronSim(alone, EPOCH)
        except CronSimError as error:
            raise ValueError(f"{field!r} is no {name} of a crontab.") from error
    try:
        next(CronSim(crontab, EPOCH))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"{crontab!r} never comes.") from error
