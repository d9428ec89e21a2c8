"""Reads words that say nothing but a date: "by Friday", "am 3. Dezember", "in two weeks"."""

import re
from calendar import monthrange
from datetime import date, timedelta

from todos.due_vocabulary import Vocabulary
from todos.validators import EARLIEST_DUE, LATEST_DUE

#: The most words before a date that go with it: "bis zum 15."
MOST_LEADING = 2

ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})\.?")
WITH_DOTS = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})?")
DAY, YEAR = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|\.)?", r"(?:,? (?P<year>[0-9]{4}))?\.?"
MONTH = r"(?P<month>[^\W\d_]+)\.?"
WITH_MONTH = (
    re.compile(f"{DAY} (?:of )?{MONTH}{YEAR}"),
    re.compile(f"{MONTH} {DAY}{YEAR}"),
)


def date_of(text: str, today: date, vocabulary: Vocabulary) -> date | None:
    """Return the date that a text in lower case says, and nothing else; None if it says none."""
    said = text.split(" ")
    for count in range(min(MOST_LEADING, len(said) - 1) + 1):
        lead, rest = said[:count], said[count:]
        if not vocabulary.leads.issuperset(lead):
            return None
        try:
            found = read(lead, rest, today, vocabulary)
        except (ValueError, OverflowError):  # The 31st of November; a day after the last there is.
            return None
        if found is not None and EARLIEST_DUE <= found <= LATEST_DUE:
            return found
    return None


def read(lead: list[str], rest: list[str], today: date, vocabulary: Vocabulary) -> date | None:
    """Return the date that words say behind what goes with it."""
    found = by_weekday(rest, today, vocabulary) or by_date(lead, rest, today, vocabulary)
    if found is None and vocabulary.on.isdisjoint(lead):
        found = in_words(rest, today, vocabulary) or in_units(rest, today, vocabulary)
    if found is not None and not vocabulary.before.isdisjoint(lead):
        found -= timedelta(days=1)
        return found if found >= today else None
    return found


def in_words(said: list[str], today: date, vocabulary: Vocabulary) -> date | None:
    """Understand "tomorrow", "this weekend"."""
    rule = vocabulary.phrases.get(" ".join(said).removesuffix("."))
    return rule(today) if rule else None


def by_weekday(said: list[str], today: date, vocabulary: Vocabulary) -> date | None:
    """Understand "Friday", "this Friday", "next Friday": that of the next week."""
    *which, day = said
    weekday = vocabulary.weekdays.get(day.removesuffix("."))
    if weekday is None or len(which) > 1:
        return None
    if vocabulary.next.issuperset(which) and which:
        return coming(0, today) + timedelta(days=weekday)
    this = vocabulary.this | vocabulary.coming
    return coming(weekday, today) if this.issuperset(which) else None


def in_units(said: list[str], today: date, vocabulary: Vocabulary) -> date | None:
    """Understand "next week" (its Monday), "next month" (its first day), "in 3 weeks"."""
    *before, unit = said
    kind = vocabulary.units.get(unit.removesuffix("."))
    following = vocabulary.next | vocabulary.coming
    match before:
        case [which] if which in following and kind == "w":
            return coming(0, today)
        case [which] if which in following and kind == "m":
            return months_after(today, 1).replace(day=1)
        case [ahead, number] if ahead in vocabulary.ahead and kind:
            count = vocabulary.numbers.get(number) or whole_number(number)
            if not count:
                return None
            if kind == "m":
                return months_after(today, count)
            return today + timedelta(days=count if kind == "d" else 7 * count)
    return None


def by_date(lead: list[str], said: list[str], today: date, vocabulary: Vocabulary) -> date | None:
    """Understand dates, also with a weekday; behind "on" and the like, also "the 15th"."""
    if len(said) > 1 and said[0].rstrip(",") in vocabulary.weekdays:
        said = said[1:]
    if len(said) > 1 and said[0] in vocabulary.articles:
        said = said[1:]
    text = " ".join(said)
    if not any(character.isdigit() for character in text):
        return None
    return (
        in_numbers(text, today)
        or by_month(text, today, vocabulary)
        or (on_the(text, today, vocabulary) if lead else None)
    )


def in_numbers(text: str, today: date) -> date | None:
    """Understand "2026-12-24", "24.12.2026" and "24.12."; not "12/24", which two countries read."""
    if found := ISO.fullmatch(text):
        return date(*map(int, found.groups()))
    if found := WITH_DOTS.fullmatch(text):
        day, month, year = found.groups()
        return on_day(day, month, year, today)
    return None


def by_month(text: str, today: date, vocabulary: Vocabulary) -> date | None:
    """Understand "24 Dec", "24th of December", "24. Dezember 2026", "December 24th, 2026"."""
    for order in WITH_MONTH:
        found = order.fullmatch(text)
        if found and (number := vocabulary.months.get(found["month"])):
            return on_day(found["day"], str(number), found["year"], today)
    return None


def on_the(text: str, today: date, vocabulary: Vocabulary) -> date | None:
    """Understand "15th", "15.": the next such day of a month from today on."""
    for ending in vocabulary.ordinals:
        day = whole_number(text.removesuffix(ending)) if text.endswith(ending) else None
        if day:
            return next_day(day, today)
    return None


def next_day(day: int, today: date) -> date | None:
    """Return the next such day of a month from today on."""
    for ahead in range(3):  # Of two months in a row, one has 31 days.
        month = months_after(today.replace(day=1), ahead)
        if day <= monthrange(month.year, month.month)[1] and month.replace(day=day) >= today:
            return month.replace(day=day)
    return None


def on_day(day: str, month: str, year: str | None, today: date) -> date | None:
    """Return a date; without a year, the next one that there is from today on."""
    if year:
        return date(int(year), int(month), int(day))
    for ahead in range(9):  # Eight years may lie between two days of 29 February.
        if int(day) <= monthrange(today.year + ahead, int(month))[1]:
            found = date(today.year + ahead, int(month), int(day))
            if found >= today:
                return found
    return None


def coming(weekday: int, today: date) -> date:
    """Return the next such day after today."""
    return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)


def months_after(today: date, count: int) -> date:
    """Return the same day some months later, or that month's last one."""
    years, month = divmod(today.month - 1 + count, 12)
    year = today.year + years
    if year > LATEST_DUE.year:
        raise OverflowError
    return date(year, month + 1, min(today.day, monthrange(year, month + 1)[1]))


def whole_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,4}", text) else None
