"""The links, forms and words of a page, as a visitor without a script has them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import override
from urllib.parse import urldefrag, urljoin, urlsplit

from django.test import Client

#: Attributes that are shown, or read out.
SAID = {"alt", "aria-label", "placeholder", "title"}


@dataclass
class Form:
    """A form.

    Attributes:
        action: where it is sent to.
        method: `get` or `post`.
        fields: what it may send; of boxes and radio buttons each value, checked or not.
        can_be_sent: whether a button sends it: those of lists have buttons that send it elsewhere.
    """

    action: str
    method: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    can_be_sent: bool = False

    def add(self, name: str | None, value: str | None) -> None:
        if name:
            self.fields.setdefault(name, []).append(value or "")


class Page(HTMLParser):
    """A page that was read.

    Attributes:
        links: where its links lead to, without fragments.
        forms: all of its forms, in their order.
        words: its texts and labels, without those of scripts.
    """

    def __init__(self, address: str, html: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.forms: list[Form] = []
        self.words: list[str] = []
        self._address = address
        self._by_id: dict[str, Form] = {}
        self._in_script = False
        self._select: str | None = None
        self._textarea: str | None = None
        self.feed(html)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_script = tag in {"script", "style"}
        self.words += [value for name, value in attrs if value and is_said(name, value)]
        if tag == "a" and given.get("href"):
            address = urldefrag(urljoin(self._address, given["href"] or "")).url
            if not urlsplit(address).netloc and urlsplit(address).scheme == "":
                self.links.add(address)
        elif tag == "form":
            action = urljoin(self._address, given.get("action") or "")
            form = Form(action, (given.get("method") or "get").lower())
            self.forms.append(form)
            self._by_id[given.get("id") or ""] = form
        else:
            owner = self._form_of(given)
            if owner:
                self._control(tag, given, owner)

    @override
    def handle_endtag(self, tag: str) -> None:
        self._in_script = False
        if tag in {"select", "textarea"}:
            self._select = self._textarea = None

    @override
    def handle_data(self, data: str) -> None:
        if data.strip() and not self._in_script:
            self.words.append(" ".join(data.split()))
        if self._textarea:
            self.forms[-1].fields[self._textarea] = [data]

    def _form_of(self, given: dict[str, str | None]) -> Form | None:
        return self._by_id.get(given.get("form") or "", self.forms[-1] if self.forms else None)

    def _control(self, tag: str, given: dict[str, str | None], form: Form) -> None:
        name, value = given.get("name"), given.get("value")
        if tag == "input":
            form.add(name, value)
        elif tag == "button" and given.get("formaction"):
            # It sends its form elsewhere, with a value of its own.
            action = urljoin(self._address, given["formaction"] or "")
            sent = Form(action, form.method, {name: [*all_] for name, all_ in form.fields.items()})
            sent.add(name, value)
            sent.can_be_sent = True
            self.forms.insert(self.forms.index(form), sent)
        elif tag == "button":
            form.can_be_sent |= given.get("type") != "button"
            form.add(name, value)
        elif tag == "textarea":
            self._textarea = name
            form.add(name, "")
        elif tag == "select":
            self._select = name
        elif self._select and ("selected" in given or self._select not in form.fields):
            form.fields[self._select] = [value or ""]


def is_said(name: str, value: str) -> bool:
    """Return whether an attribute holds words for people; scripts have theirs from such ones."""
    return name in SAID or (name.startswith("data-") and " " in value)


def kind_of(form: Form) -> str:
    """Return what forms have in common that differ in numbers alone, such as a todo's."""
    return re.sub(r"\d+", "N", f"{form.method} {form.action} {sorted(form.fields)}")


def kinds_of(forms: Iterable[Form]) -> list[Form]:
    """Return one of each kind of form, the first."""
    found: dict[str, Form] = {}
    for form in forms:
        found.setdefault(kind_of(form), form)
    return list(found.values())


def read(client: Client, address: str) -> Page:
    """Return a page of the site."""
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return Page(address, response.content.decode())


def crawl(client: Client, *starts: str, skip: tuple[str, ...] = ()) -> Iterator[tuple[str, Page]]:
    """Yield the address of each page that links lead to, with the page; none twice.

    Args:
        starts: where to begin.
        skip: what addresses begin with that are left out.
    """
    waiting, seen = list(starts), set(starts)
    while waiting:
        address = waiting.pop(0)
        response = client.get(address)
        if response.headers.get("Content-Type", "").startswith("text/html") and (
            response.status_code == 200
        ):
            page = Page(address, response.content.decode())
            yield address, page
            new = {link for link in page.links - seen if not link.startswith(skip)}
            seen |= new
            waiting += sorted(new)
