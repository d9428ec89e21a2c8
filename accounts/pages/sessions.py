"""Where a person is logged in, and how they end it."""

from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import Session
from accounts.pages.clients import UNKNOWN, browser_of
from accounts.pages.requests import PersonRequest
from accounts.services import SessionNotFound, SessionService

#: Sessions that the page shows, the newest.
MAX_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A session as its owner sees it.

    Attributes:
        id: to end it by; None for one that began before its browser was remembered.
        client: the address; empty if it is not known.
    """

    id: int | None
    browser: str
    client: str
    began_at: datetime | None
    is_this: bool


@login_required
def show(request: PersonRequest) -> HttpResponse:
    """Show where they are logged in."""
    live = Session.objects.live(request.user)
    return render(
        request,
        "usersessions/usersession_list.html",
        {"sessions": shown(live, request.session.session_key or "")},
    )


def shown(live: list[Session], this: str) -> list[Shown]:
    """Return what to show of sessions: this one first, then the newest."""
    details = UserSession.objects.filter(session_key__in=[session.pk for session in live])
    known = {session.session_key: session for session in details}
    found = [as_shown(session, known.get(session.pk), this) for session in live]
    found.sort(key=lambda one: (one.is_this, one.id or 0), reverse=True)
    return found[:MAX_SHOWN]


def as_shown(session: Session, details: UserSession | None, this: str) -> Shown:
    ip = details.ip if details else UNKNOWN
    return Shown(
        id=details.pk if details else None,
        browser=browser_of(details.user_agent if details else ""),
        client="" if ip == UNKNOWN else ip,
        began_at=details.created_at if details else None,
        is_this=session.pk == this,
    )


@login_required
@require_POST
def end(request: PersonRequest, session_id: int) -> HttpResponse:
    """End one session."""
    try:
        SessionService.end(user=request.user, session_id=session_id)
    except SessionNotFound as error:
        raise Http404 from error
    messages.success(request, _("That device is logged out."))
    return redirect("usersessions_list")


@login_required
@require_POST
def end_others(request: PersonRequest) -> HttpResponse:
    """End all sessions but this one."""
    this = request.session.session_key or ""
    SessionService.end_others(user=request.user, session_key=this)
    messages.success(request, _("All other devices are logged out."))
    return redirect("usersessions_list")
