"""Answers requests that would end in a bare server error: malformed ones, and those in conflict."""

import codecs
from collections.abc import Callable, Iterator

import structlog
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import FieldDoesNotExist
from django.db import DataError, IntegrityError, NotSupportedError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.http.request import QueryDict
from django.shortcuts import render

from tasks.engine.database import LOCKED
from tasks.engine.errors import error_name
from todos.bounds import MAX_ID

logger = structlog.get_logger(__name__)

#: What malformed input ends in: text or a number that the database does not take, a field that
#: there is not, a comparison that it does not know.
FAILURES = (ValueError, OverflowError, DataError, NotSupportedError, FieldDoesNotExist)

#: Comparisons that no list offers: Django or the database fails at what is no pattern or no range.
UNUSED_LOOKUPS = ("regex", "range")

#: After how long (seconds) a request that somebody's lock held up may be sent again.
RETRY_AFTER = 30

#: What PostgreSQL (also at a deadlock) and SQLite call it to wait for a lock in vain.
HELD_UP = LOCKED | {"40P01", "SQLITE_BUSY"}


class RefuseMalformedMiddleware:
    """Answer 400, in one line, where an address, a cookie or a form is malformed.

    PostgreSQL takes no text with a NUL character in it, and Django looks for such in the fields of
    forms alone: not in filters, searches, cookies or ids. Its admin fails at an empty `_to_field`,
    at a selection of rows that are not named by number, and at filters in the address that no
    list of its own offers: a year 0, an offset of 16 hours, a pattern that is none. At a form in
    an encoding that is none of text, it fails before anybody has logged in.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if any("\0" in text for text in (request.path, *request.COOKIES.values())):
            return refusal()
        if is_malformed(request.GET) or not is_utf8(request):
            return refusal()
        return self.get_response(request)

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


class ConflictMiddleware:
    """Answer in words where somebody else was in the way; whatever was begun is undone by then.

    503: a lock that was waited for in vain. 409: a row that has come or gone meanwhile.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Say what is in the way, unless it is something else."""
        if isinstance(exception, IntegrityError):
            return conflict(request, exception, "project/changed_meanwhile.html", status=409)
        if isinstance(exception, OperationalError) and is_held_up(exception):
            response = conflict(request, exception, "project/held_up.html", status=503)
            response.headers["Retry-After"] = str(RETRY_AFTER)
            return response
        return None


def conflict(request: HttpRequest, error: Exception, template: str, *, status: int) -> HttpResponse:
    """Return a page that says what was in the way."""
    # Without the error's message, which may quote a row.
    logger.warning("request in conflict", path=request.path, status=status, error=error_name(error))
    # Without the request: what its user may do is in the database, too.
    return render(None, template, status=status)


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
        or any(name.endswith(UNUSED_LOOKUPS) for name in fields)
        or "" in fields.getlist(TO_FIELD_VAR)
        or not all(names_a_row(row) for row in fields.getlist(ACTION_CHECKBOX_NAME))
    )


def is_utf8(request: HttpRequest) -> bool:
    """Say whether a form is in UTF-8, as those of our pages are, or does not say what it is in."""
    charset = (request.content_params or {}).get("charset")
    try:
        return charset is None or codecs.lookup(charset).name == "utf-8"
    except (LookupError, ValueError):
        return False


def names_a_row(text: str) -> bool:
    """Say whether a text is a number that a row can have."""
    return text.isdecimal() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID


def texts(fields: QueryDict) -> Iterator[str]:
    """Yield all names and values."""
    for name, values in fields.lists():
        yield name
        yield from values


def refusal() -> HttpResponse:
    """Return the answer."""
    line = (
        "This request is malformed: it holds a NUL character, is not in UTF-8, or names a field,"
        " a row or a value wrongly.\n"
    )
    return HttpResponseBadRequest(line, content_type="text/plain")
