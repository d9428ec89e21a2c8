"""Due dates in plain words: what is offered, and what is left alone."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from todos.due_words import ENGLISH, GERMAN, suggest, without
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
        ("Miete in 3 Tagen", "2026-12-03", "Miete"),
        ("Miete in zwei Wochen", "2026-12-14", "Miete"),
        ("Miete nächste Woche", "2026-12-07", "Miete"),
        ("Geschenke am 24. Dezember", "2026-12-24", "Geschenke"),
        ("Geschenke 24. Dez.", "2026-12-24", "Geschenke"),
        ("Frühjahrsputz 1. März 2027", "2027-03-01", "Frühjahrsputz"),
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
        # Dates that there are not, or that nobody means.
        *((title, "en") for title in ("Pay 31 Nov", "Pay 30.02.", "Pay 99.99.", "Pay 0.0.2026")),
        *((title, "en") for title in ("Pay in 0 days", "Pay in 99999 days", "Pay 0001-01-01")),
    ],
)
def test_nothing_else_is_offered(title: str, language: str) -> None:
    assert offered(title, language) is None


WORDS = sorted(
    {word for words in (ENGLISH, GERMAN) for word in [*words.on, *words.days, *words.weekdays]}
    | {word for words in (ENGLISH, GERMAN) for word in [*words.months, *words.units, *words.next]}
    | {"in", "3", "24", "24.", "24.12.", "2026-12-24", "29", "31", "(", "—", "a", "x", "²", "٣"}
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
