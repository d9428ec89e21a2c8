"""Due dates in plain words: what is offered, and what is left alone."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from todos.due_vocabulary import ENGLISH, GERMAN
from todos.due_words import suggest, without
from todos.validators import LATEST_DUE

#: A Monday.
TODAY = date(2026, 11, 30)


def offered(title: str, language: str = "en") -> tuple[str, str] | None:
    """Return the date that is offered, and the title that would be left."""
    meant = suggest(title, today=TODAY, language=language)
    return (meant.due_on.isoformat(), meant.title) if meant else None


@pytest.mark.parametrize(
    ("title", "due_on", "rest"),
    [
        ("Buy milk today", "2026-11-30", "Buy milk"),
        ("Buy milk tomorrow", "2026-12-01", "Buy milk"),
        ("Buy milk, TOMORROW!", "2026-12-01", "Buy milk"),
        ("Buy milk (tomorrow)", "2026-12-01", "Buy milk"),
        ("Tomorrow: buy milk", "2026-12-01", "buy milk"),
        ("Buy milk the day after tomorrow", "2026-12-02", "Buy milk"),
        ("Call Bob by Friday", "2026-12-04", "Call Bob"),
        ("Call Bob monday", "2026-12-07", "Call Bob"),
        ("Call Bob next Friday", "2026-12-11", "Call Bob"),
        ("Clean up this weekend", "2026-12-05", "Clean up"),
        ("Plan next week", "2026-12-07", "Plan"),
        ("Pay the rent next month", "2026-12-01", "Pay the rent"),
        ("Pay in 3 days", "2026-12-03", "Pay"),
        ("Pay in a week", "2026-12-07", "Pay"),
        ("Pay in two months", "2027-01-30", "Pay"),
        ("Wrap presents 24 Dec", "2026-12-24", "Wrap presents"),
        ("Wrap presents on December 24th", "2026-12-24", "Wrap presents"),
        ("Taxes 31 May", "2027-05-31", "Taxes"),
        ("Party 29 Feb", "2028-02-29", "Party"),
        ("Wrap presents 24.12.", "2026-12-24", "Wrap presents"),
        ("Wrap presents 24.12.2027", "2027-12-24", "Wrap presents"),
        ("Wrap presents 2026-12-24", "2026-12-24", "Wrap presents"),
        ("Call Bob next Monday", "2026-12-07", "Call Bob"),
        ("Keep it until Friday", "2026-12-04", "Keep it"),
        ("Buy a cake for Saturday", "2026-12-05", "Buy a cake"),
        ("Buy a cake this evening", "2026-11-30", "Buy a cake"),
        ("Buy a cake tonight", "2026-11-30", "Buy a cake"),
        ("Buy a cake tomorrow morning", "2026-12-01", "Buy a cake"),
        ("Report by the end of the week", "2026-12-04", "Report"),
        ("Report by end of the month", "2026-11-30", "Report"),
        ("Pay the rent by the 15th", "2026-12-15", "Pay the rent"),
        ("Pay the rent on the 15th.", "2026-12-15", "Pay the rent"),
        ("Pay the rent on the 30th", "2026-11-30", "Pay the rent"),
        ("Pay the rent by the 15th of December", "2026-12-15", "Pay the rent"),
        ("Fly on Friday, 4 December", "2026-12-04", "Fly"),
        # Before a day is the day before, at the latest.
        ("Wrap presents before Dec 24", "2026-12-23", "Wrap presents"),
        ("Finish before Friday", "2026-12-03", "Finish"),
        # A time of day stays in the title.
        ("Dentist 3 December at 10", "2026-12-03", "Dentist at 10"),
        ("Dentist on Friday at 3 pm", "2026-12-04", "Dentist at 3 pm"),
        ("Tomorrow at 10: dentist", "2026-12-01", "at 10: dentist"),
        # In the middle only where nothing else can be meant.
        ("Call Kim on Friday about the trip", "2026-12-04", "Call Kim about the trip"),
        ("Send it by 3 December with a card", "2026-12-03", "Send it with a card"),
        ("On Friday call Kim", "2026-12-04", "call Kim"),
        ("Friday: call Kim", "2026-12-04", "call Kim"),
        ("Report by the end of next week", "2026-12-11", "Report"),
        ("Dentist 3 December 10 am", "2026-12-03", "Dentist 10 am"),
        ("Greet every friend of Bob tomorrow", "2026-12-01", "Greet every friend of Bob"),
        ("File the receipt of 3 March 2020", None, ""),
        ("File the receipt 3 March 2020", "2020-03-03", "File the receipt"),
    ],
)
def test_date_in_english_is_offered(title: str, due_on: str | None, rest: str) -> None:
    assert offered(title) == (due_on and (due_on, rest))
    assert offered(title, "de") == offered(title)


@pytest.mark.parametrize(
    ("title", "due_on", "rest"),
    [
        ("Milch kaufen heute", "2026-11-30", "Milch kaufen"),
        ("Milch kaufen morgen", "2026-12-01", "Milch kaufen"),
        ("Übermorgen: Milch kaufen", "2026-12-02", "Milch kaufen"),
        ("Bis Montag anrufen", "2026-12-07", "anrufen"),
        ("Anrufen am Sonnabend", "2026-12-05", "Anrufen"),
        ("Anrufen nächsten Freitag", "2026-12-11", "Anrufen"),
        ("Aufräumen am Wochenende", "2026-12-05", "Aufräumen"),
        ("Kommenden Freitag einkaufen", "2026-12-04", "einkaufen"),
        ("Einkaufen kommende Woche", "2026-12-07", "Einkaufen"),
        ("Bericht bis Ende nächster Woche", "2026-12-11", "Bericht"),
        ("Zahnarzt 3. Dezember 10 Uhr", "2026-12-03", "Zahnarzt 10 Uhr"),
        ("Geschenke 3.12.", "2026-12-03", "Geschenke"),
        ("Miete in 3 Tagen", "2026-12-03", "Miete"),
        ("Miete in zwei Wochen", "2026-12-14", "Miete"),
        ("Miete nächste Woche", "2026-12-07", "Miete"),
        ("Geschenke am 24. Dezember", "2026-12-24", "Geschenke"),
        ("Geschenke 24. Dez.", "2026-12-24", "Geschenke"),
        ("Frühjahrsputz 1. März 2027", "2027-03-01", "Frühjahrsputz"),
        # In the middle, before the verb.
        ("Oma am Sonntag anrufen", "2026-12-06", "Oma anrufen"),
        ("Oma nächsten Montag anrufen", "2026-12-07", "Oma anrufen"),
        ("Oma morgen anrufen", "2026-12-01", "Oma anrufen"),
        ("Rechnung bis Freitag bezahlen", "2026-12-04", "Rechnung bezahlen"),
        ("Rechnung bis zum 15. bezahlen", "2026-12-15", "Rechnung bezahlen"),
        ("Paket heute Abend abholen", "2026-11-30", "Paket abholen"),
        ("Bericht Ende der Woche schicken", "2026-12-04", "Bericht schicken"),
        ("Geschenk vor dem 24. Dezember kaufen", "2026-12-23", "Geschenk kaufen"),
        ("Brief am Freitag, dem 4. Dezember, abholen", "2026-12-04", "Brief abholen"),
        ("Am 15. Miete zahlen", "2026-12-15", "Miete zahlen"),
        ("Montag Oma anrufen", "2026-12-07", "Oma anrufen"),
        ("am 3. Dezember um 10 Uhr zum Arzt", "2026-12-03", "um 10 Uhr zum Arzt"),
        ("Zahnarzt am 3. Dezember um 10 Uhr", "2026-12-03", "Zahnarzt um 10 Uhr"),
    ],
)
def test_date_in_german_is_offered_to_germans(title: str, due_on: str, rest: str) -> None:
    assert offered(title, "de") == (due_on, rest)
    assert offered(title, "de-at") == (due_on, rest)


@pytest.mark.parametrize(
    ("title", "language"),
    [
        *((title, "en") for title in ("Tomorrow", "today", "24 Dec", "in 3 days", "", " ")),
        # Words that mean something else, here or in another language.
        *((title, "en") for title in ("Ask if I may", "Enjoy the sun", "Kaufe morgen", "4 eggs")),
        *((title, "en") for title in ("Run every Friday", "What I did last Monday", "Pay 24.12")),
        *((title, "de") for title in ("Guten Morgen", "Jeden Montag", "Laufen jeden Montag")),
        # Names of days as something else, and days that are part of something longer.
        *((title, "en") for title in ("Sun cream", "March for climate", "second-hand May tree")),
        *((title, "en") for title in ("Sunday roast", "Friday night dinner plan", "May 1 parade")),
        *((title, "en") for title in ("Buy the Sunday Times", "Fix the lamp on the 4th floor")),
        *((title, "en") for title in ("Gifts for Saturday guests", "On the 4th floor fix it")),
        *((title, "en") for title in ("Work Monday to Friday", "Holiday 24 to 26 Dec")),
        *((title, "en") for title in ("next Friday", "by the 15th", "Tomorrow at 10")),
        *((title, "de") for title in ("Frau Sonntag anrufen", "Laufen am Morgen", "heute Morgen")),
        *((title, "de") for title in ("Am 15. Geburtstag feiern", "Karte zum 3. Advent malen")),
        *((title, "de") for title in ("Urlaub 24. bis 26. Dezember", "Montag bis Freitag Urlaub")),
        *((title, "de") for title in ("nächsten Montag", "am 15.", "Oma am Freitag Abend anrufen")),
        # Words beside a date that make another of it, or many, or none.
        *((title, "en") for title in ("Ready after next Friday", "Run every other Friday")),
        *((title, "en") for title in ("Meet Bob a week on Friday", "Call Bob two weeks tomorrow")),
        *((title, "en") for title in ("Met Bob 3 weeks ago today", "Never on Sunday")),
        *((title, "en") for title in ("Call Bob Friday week", "Water them weekly on Friday")),
        *((title, "en") for title in ("Run each second Friday", "Run every Friday, also tomorrow")),
        *((title, "en") for title in ("12 December 26", "Pay 12 December 26", "Pay 12 Dec 32 x")),
        *((title, "en") for title in ("Install Python 3.12.", "Call Bob tomorrow in a week")),
        *(
            (title, "de")
            for title in ("Ferien bis übernächsten Freitag", "Heute vor einer Woche x")
        ),
        *(
            (title, "de")
            for title in ("Zahnarzt Freitag in einer Woche", "Oma Anfang nächster Woche")
        ),
        *((title, "de") for title in ("Zahnarzt morgen in einer Woche", "Laufen nie am Sonntag")),
        *((title, "de") for title in ("Laufen jeden zweiten Dienstag", "Every other Friday run")),
        # Dates that there are not, or that nobody means.
        *((title, "en") for title in ("Pay 31 Nov", "Pay 30.02.", "Pay 99.99.", "Pay 0.0.2026")),
        *((title, "en") for title in ("Pay in 0 days", "Pay in 99999 days", "Pay 0001-01-01")),
    ],
)
def test_nothing_else_is_offered(title: str, language: str) -> None:
    assert offered(title, language) is None


WORDS = sorted(
    {word for words in (ENGLISH, GERMAN) for word in [*words.begins, *words.ends]}
    | {
        word
        for words in (ENGLISH, GERMAN)
        for word in [*words.never, *words.spoils, *words.not_before]
    }
    | {"3", "15th", "24", "24.", "24.12.", "2026-12-24", "29", "31", "31.", "10:30", "10 Uhr"}
    | {"(", "—", "a", "x", "about", "²", "٣", "Morgen", "Freitag,"}
)
TITLES = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join))


@settings(max_examples=examples(400))
@given(title=TITLES, today=st.dates(date(1990, 1, 1), LATEST_DUE), language=st.text(max_size=5))
def test_whatever_is_typed_an_offer_is_a_date_to_come_and_leaves_a_title(
    title: str, today: date, language: str
) -> None:
    for spoken in ("en", "de", language):
        meant = suggest(title, today=today, language=spoken)
        if meant is not None:
            full = any(character.isdigit() for character in meant.words)
            assert meant.due_on >= today or full
            assert meant.due_on <= LATEST_DUE
            assert meant.title.strip()
            assert without(" ".join(title.split()), meant.words) == meant.title


@pytest.mark.parametrize(
    ("title", "friday", "saturday", "sunday"),
    [
        ("x this weekend", 1, 0, 0),
        ("x end of the week", 0, 1, 0),
        ("x Friday", 7, 6, 5),
        ("x next Friday", 7, 6, 5),
    ],
)
def test_weeks_end_on_their_days(title: str, friday: int, saturday: int, sunday: int) -> None:
    for day, ahead in ((4, friday), (5, saturday), (6, sunday)):
        meant = suggest(title, today=date(2026, 12, day), language="en")
        assert meant
        assert meant.due_on == date(2026, 12, day + ahead), day


@settings(max_examples=examples(100))
@given(today=st.dates(date(1990, 1, 1), date(2990, 1, 1)))
def test_words_mean_the_same_on_every_day(today: date) -> None:
    def days(title: str) -> int:
        meant = suggest(title, today=today, language="de")
        assert meant
        return (meant.due_on - today).days

    assert days("x today") == 0
    assert days("x morgen") == 1
    assert days("x in zwei Wochen") == 14
    assert 1 <= days("x sunday") <= 7
    assert 1 <= days("x next week") <= 7
    assert (today + timedelta(days("x next week"))).weekday() == 0
    assert 1 <= days("x next month") <= 31
    assert 0 <= days("x 24 dec") <= 365
