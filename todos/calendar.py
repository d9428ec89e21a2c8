"""A person's due dates as a calendar (iCalendar, RFC 5545), which calendar programs subscribe to.

The lines are made one by one: as components of the library they would take ten times as long. It is
the library that escapes and folds them.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from itertools import batched
from typing import NamedTuple

from icalendar import Calendar
from icalendar.parser import Contentline
from icalendar.prop import vDuration, vText

from accounts.models import User
from todos.models import Todo

#: Todos that are in memory at once.
CHUNK_TODOS = 200

#: The longest calendar that is kept in memory while it is sent.
MOST_KEPT_BYTES = 4_000_000

#: How often programs should ask.
REFRESHED_EVERY = timedelta(hours=1)

#: What begins a new line in some program or other. As a line end within a text, it begins none.
LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")

#: The control characters that no line may hold.
FORBIDDEN = dict.fromkeys({*range(0x20), 0x7F} - {ord(character) for character in "\t\n\r"})

END = b"END:VCALENDAR\r\n"


class CalendarRow(NamedTuple):
    """What the calendar tells of a todo, and no more."""

    pk: int
    title: str
    description: str
    due_on: date
    created_at: datetime
    restored_at: datetime | None


class Feed(NamedTuple):
    """A calendar.

    Attributes:
        version: what differs when something else is in it.
        content: all of it, unless it is too long to be kept; `calendar_of` then writes it.
    """

    version: str
    content: bytes | None


def feed_of(user: User, *, host: str) -> Feed:
    """Write a person's calendar in one query, and keep it unless it is too long.

    Args:
        user: whose due dates.
        host: of this site; it makes ids unique in the world.
    """
    digest = blake2b(digest_size=16)
    kept = [head()]
    size = 0
    for rows in batched(rows_of(user), CHUNK_TODOS):
        if size <= MOST_KEPT_BYTES:
            piece = events(rows, host=host)
            size += len(piece)
            kept.append(piece)
            digest.update(piece)
        else:  # To tell another version, they need not be written.
            digest.update(repr(rows).encode())
    content = b"".join([*kept, END]) if size <= MOST_KEPT_BYTES else None
    digest.update(kept[0])
    return Feed(digest.hexdigest(), content)


def calendar_of(user: User, *, host: str) -> Iterator[bytes]:
    """Write a person's calendar piece by piece: the memory it takes does not grow with it."""
    yield head()
    for rows in batched(rows_of(user), CHUNK_TODOS):
        yield events(rows, host=host)
    yield END


def rows_of(user: User) -> Iterator[CalendarRow]:
    """Yield what the calendar tells of a person's open todos that have a due date."""
    dated = Todo.objects.filter(user=user, due_on__isnull=False).open().order_by("due_on", "-id")
    rows = dated.values_list("pk", *CalendarRow._fields[1:])
    return map(CalendarRow._make, rows.iterator(chunk_size=CHUNK_TODOS))


def head() -> bytes:
    """Return the calendar's own lines."""
    calendar = Calendar()
    calendar.add("prodid", "-//Tidy//Due dates//EN")
    calendar.add("version", "2.0")
    # Twice each: as RFC 7986 has it, and as programs did before.
    calendar.add("name", "Tidy")
    calendar.add("x-wr-calname", "Tidy")
    calendar.add("refresh-interval", vDuration(REFRESHED_EVERY), parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", vDuration(REFRESHED_EVERY))
    lines: bytes = calendar.to_ical()
    return lines.removesuffix(END) + ZONE


#: No event needs it: a calendar has to have something in it, also when nothing is due.
ZONE = b"".join(
    line + b"\r\n"
    for line in (
        *(b"BEGIN:VTIMEZONE", b"TZID:UTC", b"BEGIN:STANDARD", b"DTSTART:19700101T000000"),
        *(b"TZOFFSETFROM:+0000", b"TZOFFSETTO:+0000", b"END:STANDARD", b"END:VTIMEZONE"),
    )
)


def events(rows: tuple[CalendarRow, ...], *, host: str) -> bytes:
    """Return the lines of some todos: for each, all of the day that it is due."""
    return "".join(line for row in rows for line in event(row, host)).encode()


def event(row: CalendarRow, host: str) -> Iterator[str]:
    yield "BEGIN:VEVENT\r\n"
    yield folded(f"UID:todo-{row.pk}@{host}")
    # When it was written last, as far as is known: nobody notes when a todo is edited.
    written = (row.restored_at or row.created_at).astimezone(UTC)
    yield f"DTSTAMP:{written:%Y%m%dT%H%M%SZ}\r\n"
    yield f"DTSTART;VALUE=DATE:{row.due_on:%Y%m%d}\r\n"
    yield f"DTEND;VALUE=DATE:{row.due_on + timedelta(days=1):%Y%m%d}\r\n"
    yield folded(f"SUMMARY:{escaped(row.title)}")
    if row.description:
        yield folded(f"DESCRIPTION:{escaped(row.description)}")
    yield "TRANSP:TRANSPARENT\r\nEND:VEVENT\r\n"  # It does not block the day.


def folded(line: str) -> str:
    lines: bytes = Contentline(line).to_ical()  # type: ignore[no-untyped-call]  # It is not annotated.
    return f"{lines.decode()}\r\n"


def escaped(text: str) -> str:
    """Return a text as it stands in a line, without what may not."""
    text = LINE_ENDS.sub("\n", text.translate(FORBIDDEN))
    # The library takes a backslash before an N for a line end: in `C:\New` it is none.
    return r"\\N".join(vText(part).to_ical().decode() for part in text.split(r"\N"))
