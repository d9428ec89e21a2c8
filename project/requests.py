"""Refuses requests that no page of ours sends, and that would end in a server error further on."""

from collections.abc import Callable, Iterator

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.http.request import QueryDict

#: What malformed input ends in: text that the database does not take, a field that there is not.
FAILURES = (ValueError, DatabaseError, FieldDoesNotExist)


class RefuseMalformedMiddleware:
    """Answer 400, in one line, where an address, a cookie or a form is malformed.

    PostgreSQL takes no text with a NUL character in it, and Django looks for such in the fields of
    forms alone: not in filters, searches, cookies or ids. Its admin fails at an empty `_to_field`,
    and at a selection of rows that are not named by number.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if any("\0" in text for text in (request.path, *request.COOKIES.values())):
            return refusal()
        return refusal() if is_malformed(request.GET) else self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Refuse a form that did not get through; most say themselves what is wrong with them."""
        if isinstance(exception, FAILURES) and is_malformed(request.POST):
            return refusal()
        return None


def is_malformed(fields: QueryDict) -> bool:
    """Say whether any of these is what no page of ours sends."""
    return (
        any("\0" in text for text in texts(fields))
        or "" in fields.getlist(TO_FIELD_VAR)
        or not all(row.isdecimal() for row in fields.getlist(ACTION_CHECKBOX_NAME))
    )


def texts(fields: QueryDict) -> Iterator[str]:
    """Yield all names and values."""
    for name, values in fields.lists():
        yield name
        yield from values


def refusal() -> HttpResponse:
    """Return the answer."""
    line = "This request is malformed: it holds a NUL character, or names a field or row wrongly.\n"
    return HttpResponseBadRequest(line, content_type="text/plain")
