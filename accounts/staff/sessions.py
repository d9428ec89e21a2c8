"""Ends sessions of staff after hours; people's last for weeks."""

from collections.abc import Callable
from time import time

import structlog
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pages.clients import address_of

logger = structlog.get_logger(__name__)

#: In a session, when somebody has logged in, and when they last did something: seconds since 1970.
BEGAN, SEEN = "began", "seen"

#: The second is written again when it is so old: each time would be one more statement a page.
SEEN_SECONDS = 60


class StaffSessionMiddleware:
    """Logs staff out who have been logged in for too long, or have done nothing for too long.

    The page that they asked for then leads them to log in again, and back to it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if isinstance(user, User) and user.is_staff:
            reason = why_over(request.session)
            if reason:
                end(request, user, reason)
            elif is_asked_for(request) and time() - request.session[SEEN] >= SEEN_SECONDS:
                request.session[SEEN] = time()
        return self.get_response(request)


def begin(session: SessionBase) -> None:
    """Note that somebody logs in."""
    session[BEGAN] = session[SEEN] = time()


def why_over(session: SessionBase) -> str | None:
    """Return why a session of staff is over; None if it is not."""
    if BEGAN not in session:  # It is from before there was a limit.
        begin(session)
    if time() - session[BEGAN] >= settings.ACCOUNTS_STAFF_SESSION_HOURS * 3600:
        return "limit"
    return "idle" if time() - session[SEEN] >= settings.ACCOUNTS_STAFF_IDLE_MINUTES * 60 else None


def is_asked_for(request: HttpRequest) -> bool:
    """Return whether somebody is there: a page that refreshes itself shows nothing of the kind."""
    return not (request.method == "GET" and "HX-Request" in request.headers)


def end(request: HttpRequest, user: User, reason: str) -> None:
    """Log staff out, and say why in their own language, which the admin does not speak."""
    client = address_of(request)
    logger.info("staff session ended", user_id=user.pk, client=client, reason=reason)
    logout(request)
    language = user.language or translation.get_language_from_request(request)
    with translation.override(language):
        text = (
            _("You were logged out: as staff, you are asked to log in again from time to time.")
            if reason == "limit"
            else _("You were logged out, as you had not done anything for a while.")
        )
        messages.info(request, text)
