"""What a request to people's pages gives: ids, moments, and where to go next.

What no page of ours sends is not found.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from todos.bounds import MAX_ID


def row_ids(texts: Iterable[str]) -> set[int]:
    """Return ids of rows.

    Raises:
        Http404: one of them is none.
    """
    return {row_id(text) for text in texts}


def row_id(text: str) -> int:
    """Return the id of a row; Http404 if it is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID))):
        raise Http404
    if int(text) > MAX_ID:
        raise Http404
    return int(text)


def moment(text: str) -> datetime:
    """Return a moment from ISO 8601 with a zone; Http404 if it is none."""
    try:
        given = datetime.fromisoformat(text)
        if given.tzinfo is None:
            raise Http404
        return given.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Http404 from error


def day(text: str) -> date:
    """Return a day from ISO 8601; Http404 if it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Http404 from error


def next_of(request: HttpRequest, otherwise: str = "todos:list") -> str:
    """Return the page to go to next, which a form or an address names, if it is one of ours."""
    named = request.POST.get("next") or request.GET.get("next", "")
    return named if is_ours(request, named) else resolve_url(otherwise)


def back(request: HttpRequest, otherwise: str = "todos:list") -> HttpResponse:
    """Go to the page that comes next."""
    return redirect(next_of(request, otherwise))


def is_ours(request: HttpRequest, address: str) -> bool:
    """Say whether an address that a visitor gave is a path of this site, not the name of a view."""
    safe = url_has_allowed_host_and_scheme(address, {request.get_host()}, request.is_secure())
    return address.startswith("/") and safe
