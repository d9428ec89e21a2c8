"""What a request to people's pages gives: ids, moments, and where to go next.

What no page of ours sends is not found.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
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


def back(request: HttpRequest, otherwise: str) -> HttpResponse:
    """Go back to the page that a form names as `next`, if it is one of ours."""
    to = request.POST.get("next", "")
    return redirect(to if is_ours(request, to) else otherwise)


def is_ours(request: HttpRequest, address: str) -> bool:
    """Say whether an address that a visitor gave is a path of this site, not the name of a view."""
    safe = url_has_allowed_host_and_scheme(address, {request.get_host()}, request.is_secure())
    return address.startswith("/") and safe
