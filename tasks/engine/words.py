"""How moments, durations and numbers are written, and errors in one line."""

from datetime import datetime

from django.utils import timezone

#: Units of time and their seconds. A duration is written in the largest of which it has two.
UNITS = (("d", 24 * 60 * 60), ("h", 60 * 60), ("min", 60))


def moment(time: datetime | None) -> str:
    """Return a moment as `2026-03-10 02:00:00 UTC`; empty if None.

    It is in the time zone that is active: a page's is its reader's, any other the site's.
    """
    if time is None:
        return ""
    try:
        return written(timezone.localtime(time))
    except OverflowError:  # The end of the year 9999, in a zone where that is over.
        return written(time)


def moment_of_site(time: datetime) -> str:
    """Return a moment in the site's time zone, whoever reads it."""
    return written(timezone.localtime(time, timezone.get_default_timezone()))


def written(time: datetime) -> str:
    """Return a moment by the clock of its own zone: `2026-03-10 02:00:00 UTC`."""
    return f"{time:%Y-%m-%d %H:%M:%S %Z}"


def duration(seconds: float | None, *, tenths: bool = False) -> str:
    """Return a duration: `16 ms`, `90 s`, `3 min`, with tenths `2.4 min`; empty if None."""
    if seconds is None:
        return ""
    if 0 < seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    unit, number = in_units(seconds)
    return f"{f'{number:,.1f}'.removesuffix('.0') if tenths else f'{number:,.0f}'} {unit}"


def ago(seconds: float | None) -> str:
    """Return how long ago something was, in whole units that have passed; empty if None."""
    if seconds is None:
        return ""
    unit, number = in_units(max(seconds, 0))
    return f"{number // 1:,.0f} {unit} ago"


def in_units(seconds: float) -> tuple[str, float]:
    """Return the unit that suits a duration, and how many of it there are."""
    for unit, length in UNITS:
        if seconds >= 2 * length:
            return unit, seconds / length
    return "s", seconds


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number of things: `1 run`, `1,234 runs`; name a plural that has more than an `s`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def one_line(text: str) -> str:
    """Return a text in one line, with single spaces."""
    return " ".join(text.split())


def printable(text: str) -> str:
    """Return a text in one line, with nothing in it that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in one_line(text))


def reason(error: BaseException) -> str:
    """Return an error's message in one line; its type if it has none."""
    return one_line(str(error)) or type(error).__name__


def last_line(text: str) -> str:
    """Return the last line of an error: what it says, without its traceback."""
    return (text.strip().splitlines() or [""])[-1]
