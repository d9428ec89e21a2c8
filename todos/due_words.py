"""Finds a due date that stands in plain words in a title.

    suggest("Buy milk tomorrow", today=date(2026, 11, 30), language="en")

suggests 1 December, and the title "Buy milk". English is understood in every language. What is not
in this small grammar of whole words is left alone: a date is offered, and nobody misses an offer
as much as they mind a wrong one.

Which words say a date is in `due_vocabulary.py`, and which date in `due_dates.py`. This module
knows where in a title they may stand: at its end, also with a time behind them; at its beginning;
and in its middle, if what is around them leaves no doubt. Wherever words that say when stand next
to others that change what they mean ("every other Friday", "a week on Friday"), nothing is offered.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from todos.due_dates import date_of
from todos.due_vocabulary import VOCABULARIES, Vocabulary

#: The most words that say when: "bis zum Freitag, dem 4. Dezember".
MOST_WORDS = 6

#: What may surround the words, and what goes with them.
AROUND = " ,;:!?()[]\"'“”„–—-"  # noqa: RUF001  (people write such dashes)
LEFT_BEHIND = " ,;:–—-("  # noqa: RUF001  (as above)

#: What ends words at the beginning that the rest does not depend on: "Friday: call Bob".
SETS_APART = (":", ",", ";", ")")

#: A time of day stays in the title: "at 10", "10:30", "um 10 Uhr".
TIME = re.compile(
    r"(?:(?:at|from|um|gegen|ab) )?"
    r"(?:[0-9]{1,2}(?:[:.][0-9]{2})?(?: ?(?:am|pm|uhr|h|o['’]clock))?|noon|midnight)"  # noqa: RUF001  (so do people)
)

#: A day and a month; or a version.
DOTTED = re.compile(r"[0-9]{1,2}\.[0-9]{1,2}\.")


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


def suggest(title: str, *, today: date, language: str) -> Suggestion | None:
    """Return the date that a title says in words, if it does and says something else, too.

    Args:
        title: what was typed.
        today: where the person is.
        language: the person's, as a code such as `de` or `de-at`.
    """
    typed = title.split()
    plain = [word.casefold().strip(AROUND) for word in typed]
    named = {word.rstrip(".") for word in plain}
    is_numbered = any(word[:1].isdigit() for word in plain)
    for vocabulary in VOCABULARIES.get(language[:2], VOCABULARIES["en"]):
        if not is_numbered and vocabulary.ends.isdisjoint(named):
            continue  # Most titles: lists of fifty ask this of each.
        for start, end in places(typed, plain, vocabulary):
            text = " ".join(typed[start:end])
            due_on = date_of(text.casefold().strip(AROUND), today, vocabulary)
            if due_on is not None:
                rest = without(" ".join(typed), text)
                if rest.strip(AROUND) and not is_time(rest.casefold()):
                    doubtful = is_doubtful(typed, plain, today, vocabulary)
                    return None if doubtful else Suggestion(due_on, text, rest)
    return None


def without(title: str, said: str) -> str:
    """Return a title without the words that say when: the last ones, the first, or others."""
    typed, part = title.split(), said.split()
    last = len(typed) - len(part)
    for start in (last, *range(last)):
        end = start + len(part)
        if start >= 0 and part and typed[start:end] == part:
            before, after = " ".join(typed[:start]), " ".join(typed[end:])
            if before and after:
                return f"{before} {after}"
            return before.rstrip(LEFT_BEHIND) or after.lstrip(LEFT_BEHIND)
    return title


def places(typed: list[str], plain: list[str], vocabulary: Vocabulary) -> Iterator[tuple[int, int]]:
    """Yield where in a title words may say when: at its end first, then at its beginning.

    Args:
        typed: the words of the title.
        plain: the same in lower case, without what surrounds them.
        vocabulary: of which words.
    """
    count = len(plain)
    ends = [
        end
        for end in range(count, 0, -1)
        if plain[end - 1].rstrip(".") in vocabulary.ends or plain[end - 1][:1].isdigit()
    ]
    starts = [
        start
        for start, word in enumerate(plain if ends else ())
        if (word in vocabulary.begins or word[:1].isdigit())
        and (not start or may_follow(plain[start - 1], vocabulary))
    ]
    pairs = [(start, end) for start in starts for end in ends if start < end <= start + MOST_WORDS]
    at_end = {end for end in ends if end == count or is_time_at(plain, end)}
    yield from (pair for pair in pairs if pair[1] in at_end)
    for start, end in pairs:
        if end < count and stands_free(typed, plain, start, end, vocabulary):
            yield start, end


def is_doubtful(typed: list[str], plain: list[str], today: date, vocabulary: Vocabulary) -> bool:
    """Say whether anything around the words that say when may mean another day, or none."""
    until = 0
    for start, end in widest(plain, today, vocabulary):
        before, after = plain[start - 1] if start else "", plain[end : end + 3]
        if (start and start <= until) or not {before, *after[:1]}.isdisjoint(
            vocabulary.spoils | vocabulary.units.keys()
        ):
            return True  # "12 December 26", "morgen in einer Woche"; "every other Friday".
        is_past = after[:1] and after[0] in vocabulary.before and after[-1] in vocabulary.units
        if is_past or is_year_cut_off(plain, end, vocabulary):
            return True
        if is_perhaps_a_version(typed, start, end, vocabulary):
            return True
        until = end
    return False


def widest(plain: list[str], today: date, vocabulary: Vocabulary) -> Iterator[tuple[int, int]]:
    """Yield where words that say when begin and end, but for those within others."""
    until = 0
    for start, word in enumerate(plain):
        if word not in vocabulary.begins and not word[:1].isdigit():
            continue
        for end in range(min(start + MOST_WORDS, len(plain)), max(start, until), -1):
            said = " ".join(plain[start:end])
            # In "3 December 10 am", nothing says "December 10".
            if date_of(said, today, vocabulary) and not is_time_at(plain, end - 1):
                yield start, end
                until = end
                break


def is_year_cut_off(plain: list[str], end: int, vocabulary: Vocabulary) -> bool:
    """Say whether a bare number follows a month: "12 December 32"."""
    return (
        plain[end - 1].rstrip(".") in vocabulary.months
        and end < len(plain)
        and plain[end].isdigit()
        and not is_time_at(plain, end)
    )


def is_perhaps_a_version(typed: list[str], start: int, end: int, vocabulary: Vocabulary) -> bool:
    """Say whether "3.12." follows a name: "Install Python 3.12.". In German every noun looks so."""
    is_dotted = end == start + 1 and DOTTED.fullmatch(typed[start].strip(AROUND))
    name = typed[start - 1] if start else ""
    is_name = start > 1 and vocabulary.goes_on is not None and name[:1].isupper()
    return bool(is_dotted) and (is_name or name.casefold().rstrip(".") in {"version", "v"})


def may_follow(last: str, vocabulary: Vocabulary) -> bool:
    """Say whether a date may begin behind a word; not behind "every", nor within "by Friday"."""
    return not (last in vocabulary.goes_with or (last[-1:] == "." and last[:-1].isdigit()))


def stands_free(
    typed: list[str], plain: list[str], start: int, end: int, vocabulary: Vocabulary
) -> bool:
    """Say whether words at the beginning, or in the middle, may say when the rest is to be done."""
    first, following = plain[start], plain[end]
    if following in vocabulary.not_before:
        return False
    is_bare = first in vocabulary.weekdays or first in vocabulary.months or first[:1].isdigit()
    is_ordinal = plain[end - 1][:1].isdigit() and plain[end - 1][-1:].isalpha()
    if start == 0:
        return (
            typed[end - 1].endswith(SETS_APART)
            or not (is_bare or is_ordinal)
            or (vocabulary.goes_on is None)
        )
    if vocabulary.goes_on is None:
        is_noun = typed[start].strip(AROUND) in vocabulary.nouns
        return not (is_bare or is_noun or first in vocabulary.ahead)
    return first in vocabulary.leads and following in vocabulary.goes_on


def is_time_at(plain: list[str], end: int) -> bool:
    return len(plain) - end <= 3 and is_time(" ".join(plain[end:]))  # noqa: PLR2004  ("at 10 am")


def is_time(text: str) -> bool:
    return bool(TIME.fullmatch(text)) and not text.isdigit()
