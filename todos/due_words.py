"""Finds a due date that stands in plain words at the end, or at the beginning, of a title.

    suggest("Buy milk tomorrow", today=date(2026, 11, 30), language="en")

suggests 1 December, and the title "Buy milk". English is understood in every language. What is not
in this small grammar of whole words is left alone: a date is offered, and nobody misses an offer
as much as they mind a wrong one.
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Self

from todos.validators import EARLIEST_DUE, LATEST_DUE

#: The most words that say when: "by the day after tomorrow".
MOST_WORDS = 5

#: What may surround the words, and what goes with them.
AROUND = " ,;:!?()[]\"'“”„–—-"  # noqa: RUF001  (people write such dashes)
LEFT_BEHIND = " ,;:–—-("  # noqa: RUF001  (as above)


@dataclass(frozen=True)
class Suggestion:
    """What a title may have meant.

    Attributes:
        due_on: the date.
        words: what says so in the title.
        title: the title without them.
    """

    due_on: date
    words: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Words of one or more languages, in lower case.

    Attributes:
        on: what may stand before a date, and goes with it.
        never: what makes a date before which it stands another than the next one, or none.
        days: how many days ahead they are.
        weekdays: from Monday, 0.
        months: from January, 1. They count beside a number alone.
        weekends: the next Saturday.
        next: what may stand before a weekday or a unit.
        this: what may stand before a weekday.
        ahead: what stands before a number of units.
        numbers: those that are written as words.
        units: their first letters in English: d, w or m.
    """

    on: frozenset[str]
    never: frozenset[str]
    days: dict[str, int]
    weekdays: dict[str, int]
    months: dict[str, int]
    weekends: frozenset[str]
    next: frozenset[str]
    this: frozenset[str]
    ahead: frozenset[str]
    numbers: dict[str, int]
    units: dict[str, str]

    def __or__(self, other: Self) -> Self:
        """Return the words of both."""
        return type(self)(
            **{
                field.name: getattr(self, field.name) | getattr(other, field.name)
                for field in fields(self)
            }
        )


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def numbered(text: str, start: int = 0) -> dict[str, int]:
    """Number words in turn; those joined by a slash have the same number."""
    return {
        word: number for number, same in enumerate(text.split(), start) for word in same.split("/")
    }


ENGLISH = Vocabulary(
    on=words("on by due until"),
    never=words("every each last any for since after before of from the a"),
    days={
        "today": 0,
        "tonight": 0,
        "tomorrow": 1,
        "day after tomorrow": 2,
        "the day after tomorrow": 2,
    },
    weekdays=numbered("monday tuesday wednesday thursday friday saturday sunday"),
    months=numbered(
        "jan/january feb/february mar/march apr/april may jun/june jul/july aug/august"
        " sep/sept/september oct/october nov/november dec/december",
        start=1,
    ),
    weekends=frozenset({"this weekend", "the weekend", "at the weekend"}),
    next=words("next"),
    this=words("this"),
    ahead=words("in"),
    numbers=numbered("a/an/one two three four five six seven eight nine ten", start=1),
    units={"day": "d", "days": "d", "week": "w", "weeks": "w", "month": "m", "months": "m"},
)
GERMAN = Vocabulary(
    on=words("am bis zum fällig"),
    never=words("jeden jede jeder guten letzten letzte für seit nach vor von ab den dem der"),
    days={"heute": 0, "heute abend": 0, "morgen": 1, "übermorgen": 2},
    weekdays=numbered("montag dienstag mittwoch donnerstag freitag samstag/sonnabend sonntag"),
    months=numbered(
        "jan/januar/jänner feb/februar mär/märz apr/april mai jun/juni jul/juli aug/august"
        " sep/sept/september okt/oktober nov/november dez/dezember",
        start=1,
    ),
    weekends=frozenset({"am wochenende", "dieses wochenende"}),
    next=words("nächste nächsten nächster kommende kommenden"),
    this=words("diesen"),
    ahead=words("in"),
    numbers=numbered("einem/einer zwei drei vier fünf sechs sieben acht neun zehn", start=1),
    units={"tag": "d", "tagen": "d", "woche": "w", "wochen": "w", "monat": "m", "monaten": "m"},
)
VOCABULARIES = {"en": ENGLISH, "de": ENGLISH | GERMAN}


def suggest(title: str, *, today: date, language: str) -> Suggestion | None:
    """Return the date that a title says in words, if it does and says something else, too.

    Args:
        title: what was typed.
        today: where the person is.
        language: the person's, as a code such as `de` or `de-at`.
    """
    vocabulary = VOCABULARIES.get(language[:2], ENGLISH)
    for said in ends_of(title.split(), vocabulary):
        due_on = date_of(said.casefold().strip(AROUND), today, vocabulary)
        rest = without(" ".join(title.split()), said)
        if due_on is not None and rest:
            return Suggestion(due_on, said, rest)
    return None


def without(title: str, said: str) -> str:
    """Return a title without the words that say when, if it ends or begins with them."""
    if title.endswith(said):
        return title.removesuffix(said).rstrip(LEFT_BEHIND)
    return title.removeprefix(said).lstrip(LEFT_BEHIND)


def ends_of(title: list[str], vocabulary: Vocabulary) -> Iterator[str]:
    """Yield the last words of a title, most of them first, and then its first words."""
    most = min(MOST_WORDS, len(title) - 1)
    for count in range(most, 0, -1):
        if title[-count - 1].casefold() not in vocabulary.never:
            yield " ".join(title[-count:])
    for count in range(most, 0, -1):
        yield " ".join(title[:count])


def date_of(text: str, today: date, vocabulary: Vocabulary) -> date | None:
    """Return the date that a text says, and nothing else; None if it says none."""
    first, _, rest = text.partition(" ")
    texts = [text, rest] if first in vocabulary.on else [text]
    try:
        for candidate in texts:
            found = (
                in_words(candidate.removesuffix("."), today, vocabulary)
                or in_units(candidate.removesuffix("."), today, vocabulary)
                or in_numbers(candidate, today)
                or by_month(candidate, today, vocabulary)
            )
            if found is not None and EARLIEST_DUE <= found <= LATEST_DUE:
                return found
    except (ValueError, OverflowError):  # The 31st of November; a day after the last there is.
        return None
    return None


def in_words(text: str, today: date, vocabulary: Vocabulary) -> date | None:
    """Understand "tomorrow", "Friday", "next Friday", "this weekend"."""
    if text in vocabulary.days:
        return today + timedelta(days=vocabulary.days[text])
    if text in vocabulary.weekends:
        return coming(5, today)
    which, _, day = text.rpartition(" ")
    if day not in vocabulary.weekdays:
        return None
    weekday = vocabulary.weekdays[day]
    if which in vocabulary.next:
        return coming(0, today) + timedelta(days=weekday)
    return coming(weekday, today) if not which or which in vocabulary.this else None


def in_units(text: str, today: date, vocabulary: Vocabulary) -> date | None:
    """Understand "next week" (its Monday), "next month" (its first day), "in 3 weeks"."""
    *before, unit = text.split(" ")
    kind = vocabulary.units.get(unit)
    match before:
        case [which] if which in vocabulary.next and kind == "w":
            return coming(0, today)
        case [which] if which in vocabulary.next and kind == "m":
            return months_after(today, 1).replace(day=1)
        case [ahead, number] if ahead in vocabulary.ahead and kind:
            count = vocabulary.numbers.get(number) or whole_number(number)
            if not count:
                return None
            if kind == "m":
                return months_after(today, count)
            return today + timedelta(days=count if kind == "d" else 7 * count)
    return None


def in_numbers(text: str, today: date) -> date | None:
    """Understand "2026-12-24", "24.12.2026" and "24.12."; not "12/24", which two countries read."""
    if found := re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})\.?", text):
        return date(*map(int, found.groups()))
    if found := re.fullmatch(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})?", text):
        day, month, year = found.groups()
        return on_day(day, month, year, today)
    return None


def by_month(text: str, today: date, vocabulary: Vocabulary) -> date | None:
    """Understand "24 Dec", "24. Dezember 2026", "December 24th, 2026"."""
    day, year = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|\.)?", r"(?:,? (?P<year>[0-9]{4}))?\.?"
    month = r"(?P<month>[^\W\d_]+)\.?"
    for order in (f"{day} {month}{year}", f"{month} {day}{year}"):
        found = re.fullmatch(order, text)
        if found and (number := vocabulary.months.get(found["month"])):
            return on_day(found["day"], str(number), found["year"], today)
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
