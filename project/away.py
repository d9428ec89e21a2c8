"""What people get while the database is away: 503 at once, in words that suit who asks.

Nothing here reads the database: who asks is not known, so the page is in the browser's language.
"""

from collections.abc import Callable

from django.db import InterfaceError, InternalError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from project.gate import gate
from tasks.engine.console.away import what_is_known
from tasks.engine.database import refuses_everyone

#: When a client may try again: browsers do nothing with it, others do.
RETRY_AFTER_SECONDS = 5

#: The classes of SQLSTATE that say that a connection broke, or could not be had.
CONNECTION_STATES = ("08", "57P", "53", "55000")


class Away(HttpResponse):
    """The answer while the database is away. Django does not log each: the gate logs one line."""

    _has_been_logged = True  # Django's mark, which it looks for.
    status_code = 503


class DatabaseAwayMiddleware:
    """Answers at once while the gate is shut, and counts who is inside while it is open."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if gate.shut_since:
            return away(request, was_begun=False)
        with gate.pass_through():
            return self.get_response(request)


def is_away(error: BaseException | None) -> bool:
    """Say whether an error means that PostgreSQL is away, or refuses everyone."""
    if connection.vendor != "postgresql" or not isinstance(
        error, OperationalError | InterfaceError | InternalError
    ):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    if state is None:
        # A connection that broke has none; a mistake in our code, such as a closed cursor, neither.
        return isinstance(error, OperationalError) or "connection" in str(error)
    return refuses_everyone(error) or state.startswith(CONNECTION_STATES)


def away(request: HttpRequest, *, was_begun: bool) -> HttpResponse:
    """Answer a request that the database has failed, without using it.

    Args:
        was_begun: some of what the request asks for may have been done.
    """
    if request.path.startswith(reverse("background:overview")):
        response = Away(what_is_known(request, gate.shut_since))
    else:
        language = translation.get_language_from_request(request)
        with translation.override(language):
            response = plain(request, was_begun=was_begun)
        response.headers["Content-Language"] = language
        response.headers["Vary"] = "Accept-Language"
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def plain(request: HttpRequest, *, was_begun: bool) -> Away:
    is_part = request.headers.get("HX-Request") == "true"
    if request.method in {"GET", "HEAD"}:
        what = ""
    elif was_begun:
        what = _("It may have been saved, or not. Look for it before you repeat it.")
    elif is_part:
        what = _("It was not saved. Try again in a moment.")
    else:
        what = _("It was not saved. Go back, and send it again in a moment.")
    if is_part:
        # The script shows a line of text as it is, beside what was typed and a button to repeat it.
        short = _("Tidy cannot reach its data at the moment.")
        return Away(f"{short} {what}".strip(), content_type="text/plain; charset=utf-8")
    return Away(render_to_string("503.html", {"what": what}))
