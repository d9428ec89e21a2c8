"""Answers requests that would end in a bare server error: malformed ones, and those held up."""

from collections.abc import Callable, Iterator

import structlog
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import FieldDoesNotExist
from django.db import DataError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.http.request import QueryDict
from django.shortcuts import render

logger = structlog.get_logger(__name__)

#: What malformed input ends in: text or a number that the database does not take, a field that
#: there is not, a range without an end.
FAILURES = (ValueError, IndexError, OverflowError, DataError, FieldDoesNotExist)

#: The largest number of a row.
LARGEST_ID = 2**63 - 1

#: After how long (seconds) a request that somebody's lock held up may be sent again.
RETRY_AFTER = 30

#: What PostgreSQL (a lock, a time-out, a deadlock) and SQLite call it to wait for a lock in vain.
HELD_UP = {"55P03", "57014", "40P01", "SQLITE_BUSY"}


class RefuseMalformedMiddleware:
    """Answer 400, in one line, where an address, a cookie or a form is malformed.

    PostgreSQL takes no text with a NUL character in it, and Django looks for such in the fields of
    forms alone: not in filters, searches, cookies or ids. Its admin fails at an empty `_to_field`,
    at a selection of rows that are not named by number, and at filters in the address that no
    list of its own offers: a year 0, an offset of 16 hours, a pattern that is none.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if any("\0" in text for text in (request.path, *request.COOKIES.values())):
            return refusal()
        return refusal() if is_malformed(request.GET) else self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Refuse what did not get through; most forms say themselves what is wrong with them.

        A page that is only looked at has nothing but its address to fail at. What is refused is
        logged, in case that the page is at fault after all.
        """
        given = request.GET if request.method in {"GET", "HEAD"} else {}
        if not isinstance(exception, FAILURES) or not (given or is_malformed(request.POST)):
            return None
        logger.warning("request refused", path=request.path, exc_info=exception)
        return refusal()


class HeldUpMiddleware:
    """Answer 503, in words, where a row is held by somebody else's lock for too long.

    The transaction is undone by then.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Say what is in the way, unless it is something else."""
        if not isinstance(exception, OperationalError) or not is_held_up(exception):
            return None
        logger.warning("request held up by a lock", path=request.path)
        # Without a request: what its user may do is in the database, too.
        response = render(None, "project/held_up.html", status=503)
        response.headers["Retry-After"] = str(RETRY_AFTER)
        return response


def is_held_up(error: OperationalError) -> bool:
    """Say whether the database gave up waiting for somebody else's lock."""
    cause = error.__cause__
    return not HELD_UP.isdisjoint(
        {getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorname", None)}
    )


def is_malformed(fields: QueryDict) -> bool:
    """Say whether any of these is what no page of ours sends."""
    return (
        any("\0" in text for text in texts(fields))
        or any(name.endswith("regex") for name in fields)
        or "" in fields.getlist(TO_FIELD_VAR)
        or not all(names_a_row(row) for row in fields.getlist(ACTION_CHECKBOX_NAME))
    )


def names_a_row(text: str) -> bool:
    """Say whether a text is a number that a row can have."""
    return text.isdecimal() and len(text) <= len(str(LARGEST_ID)) and int(text) <= LARGEST_ID


def texts(fields: QueryDict) -> Iterator[str]:
    """Yield all names and values."""
    for name, values in fields.lists():
        yield name
        yield from values


def refusal() -> HttpResponse:
    """Return the answer."""
    line = (
        "This request is malformed: it holds a NUL character, or names a field, a row or a value"
        " wrongly.\n"
    )
    return HttpResponseBadRequest(line, content_type="text/plain")
