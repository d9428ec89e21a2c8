"""Answers malformed and conflicting requests, which would otherwise end as server errors.

And has nobody keep a copy of a page.
"""

import codecs
from collections.abc import Callable

import structlog
from django.conf import settings
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import FieldDoesNotExist
from django.db import DataError, IntegrityError, NotSupportedError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.http.request import QueryDict
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from project.api.problems import PREFIX
from project.errors import too_large
from project.logs.paths import shown_path
from tasks.engine.database import LOCKED
from tasks.engine.errors import error_name
from todos.bounds import MAX_ID

logger = structlog.get_logger(__name__)

#: Errors of malformed input: text or a number that the database rejects, a field that does not
#: exist, a comparison that the database does not support.
INPUT_ERRORS = (ValueError, OverflowError, DataError, NotSupportedError, FieldDoesNotExist)

#: Comparisons that no list offers; Django or the database fails if the value does not suit them.
UNUSED_LOOKUPS = ("regex", "range")

#: The field of a todo's owner: to show it once more, Django's autocomplete looks up what was sent.
OWNER = "user"

#: When a client may repeat a request that waited too long for a lock.
RETRY_AFTER_SECONDS = 30

#: The errors with which PostgreSQL (also after a deadlock) and SQLite end the wait for a lock.
LOCK_ERRORS = LOCKED | {"40P01", "SQLITE_BUSY"}


class NotKeptMiddleware:
    """Has browsers and proxies keep no page, unless its view says otherwise.

    A page shows what is somebody's, or has a form with a token of its own; and after going back, a
    list that is no longer so would be shown. Static files, which may
    be kept, do not come this far.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not response.has_header("Cache-Control"):
            add_never_cache_headers(response)
        return response


class RefuseMalformedMiddleware:
    """Answers 400, in one line, to a malformed address, cookie or form; 413 to one too large.

    PostgreSQL rejects text with a NUL character, and Django looks for one in form fields only: not
    in filters, searches, cookies or ids. Django's admin fails on an empty `_to_field`, on selected
    rows or an owner that are not numbers, and on filters that none of its lists offers: a year 0,
    an offset of 16 hours, an invalid pattern. A form in an unknown or binary encoding makes it fail
    before anybody has logged in.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        texts = (request.path, *request.COOKIES.values(), *request.headers.values())
        if any("\0" in text for text in texts):
            return refusal()
        # What the API does not know, it refuses by itself.
        is_wrong = has_nul if request.path.startswith(PREFIX) else is_malformed
        if is_wrong(request.GET) or not is_utf8(request):
            return refusal()
        if body_bytes(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return too_large(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Refuse a request whose input made the view fail.

        When a page is only read, its address is the only input. A refusal is logged, as the page
        may be at fault after all.
        """
        given = request.GET if request.method in {"GET", "HEAD"} else {}
        if not isinstance(exception, INPUT_ERRORS) or not (given or is_malformed(request.POST)):
            return None
        logger.warning("request refused", path=shown_path(request), exc_info=exception)
        return refusal()


class ConflictMiddleware:
    """Answers with a page if another transaction was in the way; this one is rolled back.

    503: it waited too long for a lock. 409: a row has been added or deleted meanwhile.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, IntegrityError):
            return conflict(request, exception, "project/changed_meanwhile.html", status=409)
        if isinstance(exception, OperationalError) and is_held_up(exception):
            response = conflict(request, exception, "project/held_up.html", status=503)
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
            return response
        return None


def conflict(request: HttpRequest, error: Exception, template: str, *, status: int) -> HttpResponse:
    # Without the error's message, which may quote a row.
    path, name = shown_path(request), error_name(error)
    logger.warning("request in conflict", path=path, status=status, error=name)
    # Without the request: a page with its user's permissions would need the database again.
    return render(None, template, status=status)


def is_held_up(error: OperationalError) -> bool:
    """Return whether the error ended the wait for another transaction's lock."""
    cause = error.__cause__
    names = {getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorname", None)}
    return not LOCK_ERRORS.isdisjoint(names)


def has_nul(fields: QueryDict) -> bool:
    """Return whether a field's name or value has a NUL character."""
    return any("\0" in text for name, values in fields.lists() for text in (name, *values))


def is_malformed(fields: QueryDict) -> bool:
    """Return whether a field has a name or a value that no page of ours sends."""
    return (
        has_nul(fields)
        or any(name.endswith(UNUSED_LOOKUPS) for name in fields)
        or "" in fields.getlist(TO_FIELD_VAR)
        or not all(is_row_id(row) for row in fields.getlist(ACTION_CHECKBOX_NAME))
        or not all(is_row_id(owner) for owner in fields.getlist(OWNER) if owner)
    )


def is_utf8(request: HttpRequest) -> bool:
    """Return whether a form is in UTF-8, as those of our pages are, or names no encoding."""
    charset = (request.content_params or {}).get("charset")
    try:
        return charset is None or codecs.lookup(charset).name == "utf-8"
    except (LookupError, ValueError):
        return False


def body_bytes(request: HttpRequest) -> int:
    """Return how much a request says that it sends. No page takes files."""
    length = request.META.get("CONTENT_LENGTH") or ""
    return int(length) if length.isdecimal() else 0


def is_row_id(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID


def refusal() -> HttpResponse:
    line = (
        "This request is malformed: it contains a NUL character, is not in UTF-8, or has an invalid"
        " field, row or value.\n"
    )
    return HttpResponseBadRequest(line, content_type="text/plain")
