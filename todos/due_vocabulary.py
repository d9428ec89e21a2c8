"""The words that titles say a due date with, in English and in German, in lower case."""

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

type Rule = Callable[[date], date]


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Words of a language.

    Attributes:
        on: what may stand before a weekday or a date, and goes with it.
        by: what may stand before whatever says when.
        before: as `by`, and means the day before.
        never: what makes a date before which it stands another than the next one, or none.
        spoils: next to what says when, it leaves in doubt which day a title means.
        not_before: what makes something else of a date behind which it stands.
        phrases: what means a day by itself, each with the rule for it.
        nouns: phrases that are something else in the middle of a title if they are capitalized.
        weekdays: from Monday, 0.
        months: from January, 1. They count beside a number alone.
        ordinals: what ends the number of a day.
        articles: what may stand before a date, after `on`.
        next: what may stand before a weekday or a unit.
        this: what may stand before a weekday.
        coming: as `this`, and before a unit as `next`.
        ahead: what stands before a number of units.
        numbers: those that are written as words.
        units: their first letters in English: d, w or m.
        goes_on: what may follow a date in the middle of a title; None for whatever does.
    """

    on: frozenset[str]
    by: frozenset[str]
    before: frozenset[str]
    never: frozenset[str]
    spoils: frozenset[str]
    not_before: frozenset[str]
    phrases: dict[str, Rule]
    nouns: frozenset[str] = frozenset()
    weekdays: dict[str, int]
    months: dict[str, int]
    ordinals: tuple[str, ...]
    articles: frozenset[str]
    next: frozenset[str]
    this: frozenset[str]
    coming: frozenset[str] = frozenset()
    ahead: frozenset[str]
    numbers: dict[str, int]
    units: dict[str, str]
    goes_on: frozenset[str] | None

    @cached_property
    def leads(self) -> frozenset[str]:
        """What may stand before all else."""
        return self.on | self.by | self.before

    @cached_property
    def begins(self) -> frozenset[str]:
        """What may be the first word, besides a number."""
        firsts = (phrase.split()[0] for phrase in self.phrases)
        names = (*firsts, *self.weekdays, *self.months)
        which = self.next | self.this | self.coming
        return self.leads | self.articles | which | self.ahead | frozenset(names)

    @cached_property
    def ends(self) -> frozenset[str]:
        """What may be the last word, besides a number."""
        lasts = (phrase.split()[-1] for phrase in self.phrases)
        return frozenset((*lasts, *self.weekdays, *self.months, *self.units))

    @cached_property
    def goes_with(self) -> frozenset[str]:
        """Behind which no other date begins: it is of the same one, of a range, or none."""
        names = (*self.phrases, *self.weekdays, *self.months)
        which = self.next | self.this | self.coming
        return self.never | self.spoils | self.leads | which | frozenset(names)


def days_ahead(days: int) -> Rule:
    return lambda today: today + timedelta(days=days)


def weekend(today: date) -> date:
    """Return the next Saturday; on a weekend, today."""
    return today + timedelta(days=max(0, 5 - today.weekday()))


def end_of_week(today: date) -> date:
    """Return the next Friday; on a weekend, its Sunday."""
    return today + timedelta(days=(4 if today.weekday() <= 4 else 6) - today.weekday())  # noqa: PLR2004  (Friday)


def end_of_next_week(today: date) -> date:
    """Return the Friday of the week that begins on the next Monday."""
    return today + timedelta(days=7 - today.weekday() + 4)


def end_of_month(today: date) -> date:
    return today.replace(day=monthrange(today.year, today.month)[1])


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def numbered(text: str, start: int = 0) -> dict[str, int]:
    """Number words in turn; those joined by a slash have the same number."""
    return {
        word: number for number, same in enumerate(text.split(), start) for word in same.split("/")
    }


def phrases(*table: tuple[Rule, str]) -> dict[str, Rule]:
    """Return the rule of each phrase; a line has those of one rule, with commas."""
    return {phrase: rule for rule, line in table for phrase in line.split(", ")}


ENGLISH = Vocabulary(
    on=words("on"),
    by=words("by due until till for"),
    before=words("before"),
    never=words("every each last any since after of from the a and or not to through"),
    spoils=words("every each other alternate after since ago never not except last past")
    | words("first second third fourth fifth 1st 2nd 3rd 4th 5th daily weekly monthly yearly"),
    not_before=words("morning afternoon evening night of and or to till until"),
    phrases=phrases(
        (days_ahead(0), "today, later today, tonight, this morning, this afternoon, this evening"),
        (days_ahead(1), "tomorrow, tomorrow morning, tomorrow afternoon"),
        (days_ahead(1), "tomorrow evening, tomorrow night"),
        (days_ahead(2), "day after tomorrow, the day after tomorrow"),
        (weekend, "this weekend, the weekend, at the weekend, on the weekend"),
        (end_of_week, "end of the week, the end of the week, end of week"),
        (end_of_next_week, "end of next week, the end of next week"),
        (end_of_month, "end of the month, the end of the month, end of month"),
    ),
    weekdays=numbered("monday tuesday wednesday thursday friday saturday sunday"),
    months=numbered(
        "jan/january feb/february mar/march apr/april may jun/june jul/july aug/august"
        " sep/sept/september oct/october nov/november dec/december",
        start=1,
    ),
    ordinals=("st", "nd", "rd", "th", "st.", "nd.", "rd.", "th."),
    articles=words("the"),
    next=words("next"),
    this=words("this"),
    ahead=words("in"),
    numbers=numbered("a/an/one two three four five six seven eight nine ten", start=1),
    units={"day": "d", "days": "d", "week": "w", "weeks": "w", "month": "m", "months": "m"},
    goes_on=words("about at because for from if in regarding re so that via when with"),
)
GERMAN = Vocabulary(
    on=words("am zum"),
    by=words("bis fällig für"),
    before=words("vor"),
    never=words("jeden jede jeder jedes guten letzten letzte letztes seit nach von ab")
    | words("den dem der die das und oder nicht herr herrn frau"),
    spoils=words("jeden jede jeder jedes seit nach nie niemals nicht außer letzten letzte letztes")
    | words("übernächste übernächsten übernächster ersten zweiten dritten vierten fünften")
    | words("vergangenen vergangene anfang mitte ende täglich wöchentlich monatlich jährlich"),
    not_before=words("früh vormittag mittag nachmittag abend nacht morgen und oder bis der des")
    | words("geburtstag namenstag jahrestag hochzeitstag todestag feiertag weihnachtstag tag")
    | words("weihnachtsfeiertag advent mal stock spieltag"),
    phrases=phrases(
        (days_ahead(0), "heute, heute früh, heute morgen, heute vormittag, heute mittag"),
        (days_ahead(0), "heute nachmittag, heute abend, heute nacht"),
        (days_ahead(1), "morgen, morgen früh, morgen vormittag, morgen mittag"),
        (days_ahead(1), "morgen nachmittag, morgen abend, morgen nacht"),
        (days_ahead(2), "übermorgen, übermorgen früh, übermorgen mittag, übermorgen abend"),
        (weekend, "am wochenende, dieses wochenende, zum wochenende"),
        (end_of_week, "ende der woche, zum ende der woche, am ende der woche"),
        (end_of_next_week, "ende nächster woche, ende der nächsten woche"),
        (end_of_next_week, "ende kommender woche, ende der kommenden woche"),
        (end_of_month, "ende des monats, zum ende des monats, am ende des monats, zum monatsende"),
    ),
    nouns=words("Morgen"),
    weekdays=numbered("montag dienstag mittwoch donnerstag freitag samstag/sonnabend sonntag"),
    months=numbered(
        "jan/januar/jänner feb/februar mär/märz apr/april mai jun/juni jul/juli aug/august"
        " sep/sept/september okt/oktober nov/november dez/dezember",
        start=1,
    ),
    ordinals=(".",),
    articles=words("dem den"),
    next=words("nächste nächsten nächster"),
    this=words("diesen"),
    coming=words("kommende kommenden kommender"),
    ahead=words("in"),
    numbers=numbered("einem/einer zwei drei vier fünf sechs sieben acht neun zehn", start=1),
    units={"tag": "d", "tagen": "d", "woche": "w", "wochen": "w", "monat": "m", "monaten": "m"},
    goes_on=None,
)

#: By a person's language. English is understood in every one.
VOCABULARIES = {"en": (ENGLISH,), "de": (GERMAN, ENGLISH)}
