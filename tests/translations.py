"""The German catalogue of people's pages: complete, and as the code has its words.

    python -m tests.translations            says what is missing; ends with 1 if anything is
    python -m tests.translations --write    takes up the code's words, and compiles the catalogue

Django's `makemessages` needs the programs of GNU gettext; this needs Babel alone. The compiled
catalogue is in the repository, so that a checkout needs no step to show German pages.
"""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from tests.checkout import ROOT

#: The apps with people's pages.
APPS = ("accounts", "project", "todos")
CATALOGUE = ROOT / "project/locale/de/LC_MESSAGES/django.po"

#: The catalogue says nothing that changes each time it is written.
HEADERS: dict[str, Any] = {
    "locale": "de",
    "project": "Tidy",
    "version": "1",
    "header_comment": "# The words of Tidy's pages and mails in German.",
    "msgid_bugs_address": "",
    "last_translator": "",
    "language_team": "",
    "creation_date": datetime(2026, 11, 30, tzinfo=UTC),
    "revision_date": datetime(2026, 11, 30, tzinfo=UTC),
    "fuzzy": False,
}

#: The admin's templates are in English alone.
TEMPLATE = re.compile(r"/templates/(?!admin/).*\.(html|txt)$")

#: Django's functions, besides those that Babel knows.
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}

#: The two ways in which a text holds the place of a value.
PLACE = re.compile(r"%\(\w+\)[sd]|\{\w*\}")


def sources() -> Iterator[tuple[str, str]]:
    """Yield the path of each module and template, with its text as Python source."""
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix == ".py" and "/migrations/" not in name:
                yield name, path.read_text(encoding="utf-8")
            elif TEMPLATE.search(name):
                text = templatize(path.read_text(encoding="utf-8"))
                yield name, "\n".join(line.strip() for line in text.splitlines())


def words_in_code() -> Catalog:
    """Return the messages of the code, without translations."""
    catalog = Catalog(locale="de", project="Tidy", fuzzy=False)
    for name, source in sources():
        found = extract("python", BytesIO(source.encode()), keywords=KEYWORDS)
        for _, message, _, context in found:
            catalog.add(message, locations=[(name, 0)], context=context)
    return catalog


def read_catalogue() -> Catalog:
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="de")


def compiled(catalog: Catalog) -> bytes:
    """Return a catalogue as Python's gettext reads it."""
    buffer = BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def write() -> None:
    """Take up the code's words; keep translations, and leave out what the code no longer has."""
    code, before = words_in_code(), read_catalogue()
    catalog = Catalog(**HEADERS)
    for message in code:
        if message.id:
            known = before.get(message.id, message.context)
            catalog.add(
                message.id,
                known.string if known else None,
                locations=message.locations,
                flags=message.flags,
                context=message.context,
            )
    with CATALOGUE.open("wb") as file:
        write_po(file, catalog, width=100, sort_output=True, include_lineno=False)
    CATALOGUE.with_suffix(".mo").write_bytes(compiled(read_catalogue()))


def faults(code: Catalog, catalog: Catalog) -> Iterator[str]:
    """Yield one line for each message that is missing, not translated, or no longer used."""
    for message in code:
        if message.id:
            known = catalog.get(message.id, message.context)
            yield from faults_of(message, known)
    for message in catalog:
        if message.id and not code.get(message.id, message.context):
            yield f"no longer in the code: {message.id!r}"


def faults_of(message: Message, known: Message | None) -> Iterator[str]:
    where = ", ".join(name for name, _ in message.locations)
    if known is None:
        yield f"{where}: not in the catalogue: {message.id!r}"
        return
    texts = known.string if isinstance(known.string, tuple) else (known.string,)
    if not all(texts) or known.fuzzy:
        yield f"{where}: not translated: {message.id!r}"
    ids = message.id if isinstance(message.id, tuple) else (message.id,)
    wanted = set(PLACE.findall(str(ids[-1])))
    if texts[-1] and set(PLACE.findall(str(texts[-1]))) != wanted:
        yield f"{where}: other placeholders in the translation of {message.id!r}"


def main() -> int:
    if "--write" in sys.argv[1:]:
        write()
    catalog = read_catalogue()
    found = list(faults(words_in_code(), catalog))
    if compiled(catalog) != CATALOGUE.with_suffix(".mo").read_bytes():
        found.append("the compiled catalogue is not that of the .po file")
    if found:
        found.append("Run `python -m tests.translations --write`, then translate.")
    sys.stderr.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
