"""The slots of a schedule: a crontab in a time zone, an interval, or one moment.

Cron's own rules hold: 0 and 7 are Sunday; a fixed time that the clocks skip comes as soon as they
have jumped, and one that they show twice counts the first time. Only a crontab whose minute or hour
starts with `*` follows the hours as they really pass.

The library cronsim finds the wall-clock times that a crontab names. It is told that the zone is
UTC: where clocks change it loses some of them or never returns (cronsim 2.8). This module turns the
times into moments.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from tasks.engine.words import moment as moment_in_words

FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")

#: A term of a field's comma-separated list: `*`, a number, a name or a range, and a step. Not a
#: range of one number with a step: cronsim takes `5-5/10` as `5/10`.
_TERM = re.compile(r"(\*|(\d+|[a-z]{3})(-(?!\2/)(\d+|[a-z]{3}))?)(/\d+)?", re.IGNORECASE)

#: A week.
LONGEST_INTERVAL_SECONDS = 7 * 24 * 60 * 60

ONE_OF_THREE = "Give a crontab, an interval in seconds, or a moment: one of the three."

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_SECOND = timedelta(seconds=1)
ONE_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """The times of a schedule. Takes aware datetimes, and returns them in UTC.

    Attributes:
        crontab: minute, hour, day of the month, month and day of the week, as in cron.
        every: instead, an interval in seconds; its slots are its multiples since 1970.
        at: instead, the one moment of its one slot.
        timezone: the zone of the crontab, such as `Europe/Berlin`.

    Raises:
        ValueError: not one of the three is given, or one is invalid; says which and why.
    """

    crontab: str = ""
    every: int | None = None
    at: datetime | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if bool(self.crontab) + (self.every is not None) + (self.at is not None) != 1:
            raise ValueError(ONE_OF_THREE)
        if self.every is not None and not 1 <= self.every <= LONGEST_INTERVAL_SECONDS:
            raise ValueError(
                f"The interval must be from 1 to {LONGEST_INTERVAL_SECONDS:,} seconds."
            )
        if self.crontab:
            check_crontab(self.crontab)
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"{self.timezone!r} is not a time zone such as Europe/Berlin."
            ) from error

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the slots after a moment, the earliest first."""
        if self.at is not None:
            return iter([self.at.astimezone(UTC)] if self.at > moment else [])
        return self._multiples(moment, step=1) if self.every else self._cron(moment, reverse=False)

    def until(self, moment: datetime) -> Iterator[datetime]:
        """Yield the slots up to and including a moment, the latest first."""
        if self.at is not None:
            return iter([self.at.astimezone(UTC)] if self.at <= moment else [])
        return self._multiples(moment, step=-1) if self.every else self._cron(moment, reverse=True)

    def describe(self) -> str:
        if self.at is not None:
            return f"Once, at {moment_in_words(self.at)}"
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
        # How much wall-clock time is repeated here; mostly none.
        repeated = _at(local, zone, fold=1) - _at(local, zone, fold=0)
        # Whole seconds. The moment itself counts when looking back, not when looking ahead.
        start = local.replace(tzinfo=UTC, microsecond=0)
        start += repeated + ONE_SECOND if reverse else -repeated

        passing = any(field.startswith("*") for field in self.crontab.split()[:2])
        found = [
            _moments(CronSim(self.crontab, start, reverse), zone, fold=fold, skipped=not passing)
            for fold in ((0, 1) if passing else (0,))
        ]
        # A time that comes once is found with either fold, and all times that are skipped come at
        # the same moment: yield each moment once.
        last = None
        for slot in merge(*found, reverse=reverse):
            if slot != last and (slot <= moment if reverse else slot > moment):
                yield slot
            last = slot


def _at(wall: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    """Return when the clocks of a zone show a time, for the first (0) or the second time (1)."""
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clocks of a zone show, as if that were UTC."""
    return moment.astimezone(zone).replace(tzinfo=UTC, fold=0)


def _moments(
    walls: Iterator[datetime], zone: ZoneInfo, *, fold: int, skipped: bool
) -> Iterator[datetime]:
    """Yield when the clocks show each of some times or, with `skipped`, jump over it."""
    for wall in walls:
        moment = _at(wall, zone, fold=fold)
        if _shown(moment, zone) == wall:
            yield moment
        elif skipped:
            # The jump lies between where the clocks before and those after it would show the time.
            early = _at(wall, zone, fold=1)
            minutes = range((moment - early) // ONE_MINUTE + 1)
            yield early + ONE_MINUTE * bisect_left(
                minutes, wall, key=lambda number: _shown(early + number * ONE_MINUTE, zone)
            )


def check_crontab(crontab: str) -> None:
    """Check that this is a crontab, and one that ever comes.

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
                raise CronSimError  # noqa: TRY301  (one message for both)
            CronSim(alone, EPOCH)
        except CronSimError as error:
            raise ValueError(f"{field!r} is not a valid {name} in a crontab.") from error
    try:
        next(CronSim(crontab, EPOCH))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"{crontab!r} never occurs.") from error
