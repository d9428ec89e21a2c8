"""When the slots come: against a few lines of plain Python that state the rules."""

import calendar
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tasks.engine.recurrence import FIELDS, LONGEST_INTERVAL_SECONDS, Recurrence, check_crontab
from tests.examples import examples

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = datetime(1970, 1, 3, tzinfo=UTC)
LAST = datetime(2037, 12, 1, tzinfo=UTC)

#: Zones whose clocks did what others' never do, and plain ones beside them.
ODD_ZONES = [
    "Europe/Berlin",
    "UTC",
    "Africa/Monrovia",  # 44 and a half minutes off until 1972
    "America/Havana",  # midnight is skipped and comes twice
    "America/Santiago",  # the evening before goes on for an hour
    "America/St_Johns",  # one minute past midnight became the day before
    "Antarctica/Casey",  # by three hours, now and then
    "Antarctica/Troll",  # by two hours
    "Asia/Beirut",
    "Asia/Pyongyang",  # by half an hour, at half past
    "Australia/Lord_Howe",  # by half an hour
    "Kwajalein",  # a day skipped, and most of one repeated before 1970
    "Pacific/Apia",  # 30 December 2011 never was
]
zones = st.sampled_from(ODD_ZONES) | st.sampled_from(sorted(available_timezones()))

BOUNDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
JANUARY_TO_JUNE = ["jan", "feb", "mar", "apr", "may", "jun"]
JULY_TO_DECEMBER = ["jul", "aug", "sep", "oct", "nov", "dec"]
MONTH_NAMES = dict(enumerate(JANUARY_TO_JUNE + JULY_TO_DECEMBER, start=1))
WEEKDAY_NAMES = dict(enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"]))
NUMBERS = {name: n for names in (MONTH_NAMES, WEEKDAY_NAMES) for n, name in names.items()}


# The rules, stated plainly.


def numbers(field: str, low: int, high: int) -> set[int]:
    """What a field of a crontab names."""
    found: set[int] = set()
    for term in field.lower().split(","):
        span, _, step = term.partition("/")
        start, _, end = span.replace("*", f"{low}-{high}").partition("-")
        first = NUMBERS[start] if start in NUMBERS else int(start)
        end = end or (str(high) if step else start)
        last = NUMBERS[end] if end in NUMBERS else int(end)
        found.update(range(first, last + 1, int(step or 1)))
    return found


def matcher(crontab: str) -> Callable[[datetime], bool]:
    """Say of a time on the wall whether the crontab names it."""
    fields = crontab.split()
    minutes, hours, days, months, weekdays = (
        numbers(field, *bounds) for field, bounds in zip(fields, BOUNDS, strict=True)
    )
    both = fields[2].startswith("*") or fields[4].startswith("*")

    def names(wall: datetime) -> bool:
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
            return False
        day = wall.day in days
        weekday = not weekdays.isdisjoint({wall.isoweekday(), wall.isoweekday() % 7})
        return (day and weekday) if both else (day or weekday)

    return names


def ever_comes(crontab: str) -> bool:
    """Whether a month of the crontab is long enough for a day of it."""
    _, _, days, months, weekdays = crontab.split()
    if not days.startswith("*") and not weekdays.startswith("*"):
        return True
    lengths = [calendar.monthrange(2024, month)[1] for month in numbers(months, 1, 12)]
    return min(numbers(days, 1, 31)) <= max(lengths)


def wall_at(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks on the wall show; UTC stands in for their zone, to count with."""
    return moment.astimezone(zone).replace(tzinfo=UTC, fold=0)


def moment_of(day: date, at: time, zone: ZoneInfo) -> datetime:
    """When the clocks first show a time; if they skip it, the first full minute they show then."""
    wall = datetime.combine(day, at, UTC)
    while wall_at(wall.replace(tzinfo=zone).astimezone(UTC), zone) != wall:
        wall += MINUTE
    return wall.replace(tzinfo=zone).astimezone(UTC)


def minute_by_minute(
    crontab: str, zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[datetime]:
    """Look at the clocks every minute."""
    names = matcher(crontab)
    passing = any(field.startswith("*") for field in crontab.split()[:2])
    moment = start.replace(second=0, microsecond=0) - DAY
    latest = wall_at(moment, zone)
    while (moment := moment + MINUTE) <= end:
        wall = wall_at(moment, zone)
        # Every hour as it passes; or else what the clocks reach or jump over for the first time.
        new = [wall]
        if not passing:
            new = [latest + n * MINUTE for n in range(1, (wall - latest) // MINUTE + 1)]
        latest = max(latest, wall)
        if moment > start and any(map(names, new)):
            yield moment


# What to try.


@cache
def changes(key: str) -> list[datetime]:
    """Find the minutes at which a zone's clocks change, at most one in a fortnight."""
    zone = ZoneInfo(key)

    def offset(moment: datetime) -> timedelta:
        return wall_at(moment, zone) - moment

    found = []
    step = 14 * DAY
    for number in range((LAST - FIRST) // step):
        start = FIRST + number * step
        if (before := offset(start)) != offset(start + step):
            minutes = range(step // MINUTE)
            later = bisect_left(minutes, 1, key=lambda n: offset(start + n * MINUTE) != before)
            found.append(start + later * MINUTE)
    return found


@st.composite
def stretches(
    draw: st.DrawFn, key: str, *, longest: timedelta, since: datetime = FIRST
) -> tuple[datetime, datetime]:
    """Two moments; mostly one of them is close to a change of the zone's clocks."""
    moments = st.datetimes(since.replace(tzinfo=None), LAST.replace(tzinfo=None)).map(
        lambda moment: moment.replace(tzinfo=UTC)
    )
    if known := [change for change in changes(key) if change > since + DAY]:
        near = st.integers(-90, 90).map(lambda n: n * MINUTE) | st.timedeltas(-2 * HOUR, 2 * HOUR)
        around = st.builds(lambda change, by: change + by, st.sampled_from(known), near)
        moments = around | around | around | moments
    one = draw(moments)
    length = draw(st.sampled_from([2 * HOUR, 2 * HOUR, longest]))
    start, end = sorted([one, one + draw(st.timedeltas(-length, length))])
    return max(start, since), max(end, since)


@st.composite
def fields(draw: st.DrawFn, low: int, high: int, names: dict[int, str]) -> str:
    def spelled(number: int) -> str:
        ways = [str(number), f"{number:02}"]
        if name := names.get(number):
            ways += [name, name.upper(), name.title()]
        return draw(st.sampled_from(ways))

    def term() -> str:
        first, last = sorted(draw(st.tuples(*[st.integers(low, high)] * 2)))
        span = draw(st.sampled_from(["*", "number", "range"]))
        step = draw(st.none() | st.integers(1, high + 2))
        if span != "*":
            written = spelled(first)
            # A range of one number with a step is refused; see below.
            if span == "range" and (first < last or step is None):
                written += f"-{spelled(last)}"
            span = written
        return span if step is None else f"{span}/{step}"

    return ",".join(term() for _ in range(draw(st.sampled_from([1, 1, 2, 3]))))


minutes = fields(*BOUNDS[0], {})
# Clocks change in the night.
night_hours = st.sampled_from([0, 1, 2, 3, 23]) | st.integers(0, 23)
hours = night_hours.map(str) | st.sampled_from(["*", "1-3"]) | fields(*BOUNDS[1], {})
days = st.just("*") | fields(*BOUNDS[2], {})
months = st.sampled_from(["*", "*", "*", "1-12"]) | fields(*BOUNDS[3], MONTH_NAMES)
weekdays = st.just("*") | fields(*BOUNDS[4], WEEKDAY_NAMES)
all_crontabs = st.tuples(minutes, hours, days, months, weekdays).map(" ".join)
crontabs = all_crontabs.filter(ever_comes)


def between(times: Recurrence, start: datetime, end: datetime) -> list[datetime]:
    return list(takewhile(lambda slot: slot <= end, times.after(start)))


def back_between(times: Recurrence, start: datetime, end: datetime) -> list[datetime]:
    return list(takewhile(lambda slot: slot > start, times.until(end)))[::-1]


# Against the rules.


@hypothesis_settings(max_examples=examples(150), deadline=None)
@given(data=st.data(), key=zones, at=st.builds(time, night_hours, st.integers(0, 59)))
def test_daily_slot_comes_once_for_each_date_wherever_the_clocks_change(
    data: st.DataObject, key: str, at: time
) -> None:
    start, end = data.draw(stretches(key, longest=30 * DAY))
    zone = ZoneInfo(key)
    first = wall_at(start, zone).date() - 2 * DAY
    dates = [first + number * DAY for number in range((end - start) // DAY + 5)]

    slots = between(Recurrence(crontab=f"{at.minute} {at.hour} * * *", timezone=key), start, end)

    # A set, as a date that is skipped as a whole ends where the next one's midnight is.
    assert slots == sorted({m for d in dates if start < (m := moment_of(d, at, zone)) <= end})


@hypothesis_settings(max_examples=examples(100), deadline=None)
@given(data=st.data(), crontab=crontabs)
def test_slots_in_utc_are_the_minutes_that_the_fields_name(
    data: st.DataObject, crontab: str
) -> None:
    start, end = data.draw(stretches("UTC", longest=4 * DAY))
    names = matcher(crontab)
    full = start.replace(second=0, microsecond=0)
    every = [full + number * MINUTE for number in range(1, (end - full) // MINUTE + 1)]

    assert between(Recurrence(crontab=crontab), start, end) == [m for m in every if names(m)]


@hypothesis_settings(max_examples=examples(300), deadline=None)
@given(data=st.data(), crontab=crontabs, key=zones)
def test_slots_in_any_zone_are_what_its_clocks_come_to_show(
    data: st.DataObject, crontab: str, key: str
) -> None:
    # Until 1972, Monrovia's full minutes were half ones in UTC.
    start, end = data.draw(stretches(key, longest=2 * DAY, since=datetime(1973, 1, 1, tzinfo=UTC)))
    times = Recurrence(crontab=crontab, timezone=key)

    assert between(times, start, end) == list(minute_by_minute(crontab, ZoneInfo(key), start, end))


@hypothesis_settings(max_examples=examples(300), deadline=None)
@given(data=st.data(), crontab=crontabs, key=zones, askers=zones)
def test_looking_back_finds_what_looking_ahead_does(
    data: st.DataObject, crontab: str, key: str, askers: str
) -> None:
    start, end = data.draw(stretches(key, longest=DAY))
    times = Recurrence(crontab=crontab, timezone=key)

    ahead = between(times, start.astimezone(ZoneInfo(askers)), end)
    back = back_between(times, start, end.astimezone(ZoneInfo(askers)))

    assert ahead == back
    assert all(earlier < later for earlier, later in pairwise(ahead))
    for slot in ahead + back:
        assert slot.tzinfo is UTC
        assert wall_at(slot, ZoneInfo(key)).time().replace(hour=0, minute=0) == time()


@hypothesis_settings(max_examples=examples(100), deadline=None)
@given(
    data=st.data(),
    every=st.integers(1, 90) | st.integers(1, LONGEST_INTERVAL_SECONDS),
    askers=zones,
)
def test_slots_of_an_interval_are_its_multiples_whoever_asks(
    data: st.DataObject, every: int, askers: str
) -> None:
    moment, _ = data.draw(stretches(askers, longest=DAY))
    times = Recurrence(every=every)
    number = int((moment - EPOCH).total_seconds() // every)

    ahead = list(islice(times.after(moment.astimezone(ZoneInfo(askers))), 5))
    back = list(islice(times.until(moment.astimezone(ZoneInfo(askers))), 5))

    multiples = [EPOCH + timedelta(seconds=(number + n) * every) for n in range(-4, 6)]
    assert back[::-1] + ahead == multiples
    assert next(times.until(ahead[0])) == ahead[0]
    assert next(times.after(ahead[0])) == ahead[1]


@hypothesis_settings(max_examples=examples(100), deadline=None)
@given(crontab=all_crontabs)
def test_crontab_is_refused_only_if_it_never_comes_and_is_said_in_words(crontab: str) -> None:
    if ever_comes(crontab):
        assert Recurrence(crontab=crontab).describe().endswith(" (UTC)")
    else:
        with pytest.raises(ValueError, match="never occurs"):
            Recurrence(crontab=crontab)


# Known days.


def utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("key", "crontab", "start", "slots"),
    [
        ("Europe/Berlin", "0 2 * * *", utc(2026, 3, 28, 12), [utc(2026, 3, 29, 1)]),
        ("Europe/Berlin", "0 2 * * *", utc(2026, 10, 24, 12), [utc(2026, 10, 25, 0)]),
        # Skipped times of one day are one slot, with the one that they come at.
        (
            "Europe/Berlin",
            "0,10 2,3 * * *",
            utc(2026, 3, 28, 12),
            [utc(2026, 3, 29, 1, m) for m in (0, 10)],
        ),
        # Hours that are not fixed: none while the clocks jump, all while they repeat.
        ("Europe/Berlin", "*/30 2 * * *", utc(2026, 3, 28, 12), []),
        (
            "Europe/Berlin",
            "*/30 2 * * *",
            utc(2026, 10, 24, 12),
            [utc(2026, 10, 25, h, m) for h in (0, 1) for m in (0, 30)],
        ),
        # The evening of Saturday goes on for an hour; a minute past midnight is Saturday again.
        (
            "America/Santiago",
            "*/30 23 * * sat",
            utc(2025, 4, 5, 12),
            [utc(2025, 4, 6, h, m) for h in (2, 3) for m in (0, 30)],
        ),
        (
            "America/St_Johns",
            "*/30 0 * * sun",
            utc(2010, 11, 6, 12),
            [utc(2010, 11, 7, 2, 30), utc(2010, 11, 7, 3, 30), utc(2010, 11, 7, 4)],
        ),
        # The clocks go back by half an hour, into an hour that has begun.
        (
            "Australia/Lord_Howe",
            "*/15 2 * * *",
            utc(2025, 4, 5, 12),
            [utc(2025, 4, 5, h, m) for h, m in [(15, 30), (15, 45), (16, 0), (16, 15)]],
        ),
        # Midnight is skipped: no hour 0 on that day.
        ("Asia/Beirut", "*/30 0 * * *", utc(2025, 3, 29, 12), []),
        # 30 December never was: what was due on it comes as 31 December begins.
        (
            "Pacific/Apia",
            "0 2 * * *",
            utc(2011, 12, 30),
            [utc(2011, 12, 30, 10), utc(2011, 12, 30, 12)],
        ),
        ("Pacific/Apia", "0 0 * * *", utc(2011, 12, 30), [utc(2011, 12, 30, 10)]),
        ("Pacific/Apia", "*/5 2 30 12 *", utc(2011, 12, 29, 12), []),
        # By 44 and a half minutes: the next full minute.
        ("Africa/Monrovia", "10 0 * * *", utc(1972, 1, 7), [utc(1972, 1, 7, 0, 45)]),
    ],
)
def test_slots_of_a_day_on_which_the_clocks_change(
    key: str, crontab: str, start: datetime, slots: list[datetime]
) -> None:
    times = Recurrence(crontab=crontab, timezone=key)
    assert between(times, start, start + DAY) == slots
    assert back_between(times, start, start + DAY) == slots


def test_fixed_time_that_comes_twice_is_past_while_it_comes_again() -> None:
    times = Recurrence(crontab="30 2 * * *", timezone="Europe/Berlin")
    again = utc(2026, 10, 25, 1, 10)  # ten past two, for the second time
    assert next(times.until(again)) == utc(2026, 10, 25, 0, 30)
    assert next(times.after(again)) == utc(2026, 10, 26, 1, 30)


def test_asking_at_a_time_that_the_clocks_skip_is_asking_at_that_moment() -> None:
    times = Recurrence(crontab="15 3 * * *", timezone="Europe/Berlin")
    skipped = datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))  # half past three
    assert next(times.until(skipped)) == utc(2026, 3, 29, 1, 15)
    assert next(times.after(skipped)) == utc(2026, 3, 30, 1, 15)


def test_moment_that_is_a_slot_counts_looking_back_and_not_ahead() -> None:
    times = Recurrence(crontab="* * * * *")
    slot, microsecond = utc(2026, 7, 1, 12), timedelta(microseconds=1)
    assert next(times.until(slot)) == slot
    assert next(times.until(slot - microsecond)) == slot - MINUTE
    assert next(times.after(slot)) == slot + MINUTE
    assert next(times.after(slot - microsecond)) == slot


# 5 July 2026 was a Sunday.
@pytest.mark.parametrize(
    ("weekday", "day"),
    [
        *[("0", 5), ("7", 5), ("sun", 5), ("MON", 6), ("Tue", 7), ("wed", 8), ("thu", 9)],
        *[("fri", 10), ("sat", 11), ("1", 6), ("6", 11), ("6-7", 5), ("*/7", 5)],
    ],
)
def test_days_of_the_week_mean_what_they_say(weekday: str, day: int) -> None:
    slot = next(Recurrence(crontab=f"30 4 * * {weekday}").after(utc(2026, 7, 5)))
    assert slot == utc(2026, 7, day, 4, 30)


@pytest.mark.parametrize(("number", "name"), MONTH_NAMES.items())
def test_months_mean_what_they_say(number: int, name: str) -> None:
    slot = next(Recurrence(crontab=f"0 0 1 {name} *").after(utc(2025, 12, 31)))
    assert slot == utc(2026, number, 1)


# What is refused.


@pytest.mark.parametrize(
    "crontab", ["0 2 * *", "0 0 2 * * *", "@daily", "*", " ", "0 2 * * * 2026", "0 2 * * * *"]
)
def test_crontab_without_five_fields_is_refused_and_told_what_they_are(crontab: str) -> None:
    with pytest.raises(ValueError, match="five fields") as refused:
        Recurrence(crontab=crontab)
    assert all(field in str(refused.value) for field in FIELDS)
    assert str(len(crontab.split())) in str(refused.value)


@pytest.mark.parametrize(
    ("crontab", "complaint"),
    [
        ("60 * * * *", "'60' is not a valid minute in"),
        ("jan * * * *", "'jan' is not a valid minute in"),
        ("*/0 * * * *", "'*/0' is not a valid minute in"),
        ("10-5 * * * *", "'10-5' is not a valid minute in"),
        ("5-5/10 * * * *", "'5-5/10' is not a valid minute in"),  # cronsim takes it as 5/10
        ("1,,2 * * * *", "'1,,2' is not a valid minute in"),
        ("1, * * * *", "'1,' is not a valid minute in"),
        ("-1 * * * *", "'-1' is not a valid minute in"),
        ("1- * * * *", "'1-' is not a valid minute in"),
        ("1-2-3 * * * *", "'1-2-3' is not a valid minute in"),
        ("*/ * * * *", "'*/' is not a valid minute in"),
        ("*-5 * * * *", "'*-5' is not a valid minute in"),
        ("*/2/2 * * * *", "'*/2/2' is not a valid minute in"),
        ("** * * * *", "'**' is not a valid minute in"),
        ("1.5 * * * *", "'1.5' is not a valid minute in"),
        ("٣ * * * *", "'٣' is not a valid minute in"),
        ("? * * * *", "'?' is not a valid minute in"),
        ("H * * * *", "'H' is not a valid minute in"),
        ("0 24 * * *", "'24' is not a valid hour in"),
        ("0 mon * * *", "'mon' is not a valid hour in"),
        ("0 0-24 * * *", "'0-24' is not a valid hour in"),
        ("0 0 0 * *", "'0' is not a valid day of the month in"),
        ("0 0 32 * *", "'32' is not a valid day of the month in"),
        ("0 0 L * *", "'L' is not a valid day of the month in"),
        ("0 0 LW * *", "'LW' is not a valid day of the month in"),
        ("0 0 15W * *", "'15W' is not a valid day of the month in"),
        ("0 0 1 0 *", "'0' is not a valid month in"),
        ("0 0 1 13 *", "'13' is not a valid month in"),
        ("0 0 1 sun *", "'sun' is not a valid month in"),
        ("0 0 1 january *", "'january' is not a valid month in"),
        ("0 0 1 dec-jan *", "'dec-jan' is not a valid month in"),
        ("0 0 * * 8", "'8' is not a valid day of the week in"),
        ("0 0 * * jan", "'jan' is not a valid day of the week in"),
        ("0 0 * * 5#3", "'5#3' is not a valid day of the week in"),
        ("0 0 * * 5L", "'5L' is not a valid day of the week in"),
        ("0 0 * * sat-sun", "'sat-sun' is not a valid day of the week in"),
        ("0 0 30 2 *", "'0 0 30 2 *' never occurs"),
        ("0 0 31 feb,4-4,jun *", "never occurs"),
        ("0 0 31 feb */2", "never occurs"),
    ],
)
def test_crontab_that_makes_no_sense_is_refused_and_its_field_named(
    crontab: str, complaint: str
) -> None:
    for refuse in (check_crontab, lambda crontab: Recurrence(crontab=crontab)):
        with pytest.raises(ValueError) as refused:  # noqa: PT011  (the words follow)
            refuse(crontab)
        assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("times", "complaint"),
    [
        ({}, "one of the three"),
        ({"crontab": ""}, "one of the three"),
        ({"crontab": "0 2 * * *", "every": 60}, "one of the three"),
        ({"crontab": "0 2 * * *", "at": EPOCH}, "one of the three"),
        ({"every": 60, "at": EPOCH}, "one of the three"),
        ({"every": 0}, "from 1 to 604,800 seconds"),
        ({"every": -1}, "from 1 to 604,800 seconds"),
        ({"every": LONGEST_INTERVAL_SECONDS + 1}, "from 1 to 604,800 seconds"),
        ({"every": 60, "timezone": "Europe/Atlantis"}, "'Europe/Atlantis' is not a time zone"),
        ({"every": 60, "timezone": ""}, "'' is not a time zone"),
        ({"every": 60, "timezone": "../etc/passwd"}, "is not a time zone"),
        ({"every": 60, "timezone": "/etc/localtime"}, "is not a time zone"),
        ({"every": 60, "timezone": "Europe"}, "is not a time zone"),
        ({"every": 60, "timezone": "UTC\0"}, "is not a time zone"),
        ({"every": 60, "timezone": "x" * 5000}, "is not a time zone"),
    ],
)
def test_times_that_make_no_sense_are_refused(times: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Recurrence(**times)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (Recurrence(every=1), "Every second"),
        (Recurrence(every=90), "Every 90 seconds"),
        (Recurrence(every=LONGEST_INTERVAL_SECONDS), "Every 604,800 seconds"),
        (
            Recurrence(crontab="0 2 * * *", timezone="Europe/Berlin"),
            "At 02:00 every day (Europe/Berlin)",
        ),
        (Recurrence(crontab="*/5 * * * *"), "Every fifth minute of every hour (UTC)"),
        (Recurrence(crontab="30 4 * * sun"), "At 04:30 on Sunday (UTC)"),
    ],
)
def test_times_are_said_in_words(times: Recurrence, words: str) -> None:
    assert times.describe() == words
