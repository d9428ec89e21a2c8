"""What follows when somebody logs in or changes their account: a line in the log, and sessions."""

from typing import Any

import structlog
from allauth.account import signals as account
from allauth.account.authentication import get_authentication_records
from allauth.core import ratelimit
from allauth.mfa import signals as second_factor
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import User
from accounts.pages.backend import attempts_key
from accounts.pages.clients import address_of
from accounts.services import SessionService
from accounts.staff.sessions import begin

logger = structlog.get_logger(__name__)

#: In a session, the id of the user who has proved a second factor in it.
SECOND_FACTOR = "second_factor"


def log(event: str, request: HttpRequest, user: User | None, **more: object) -> None:
    """Write a line on what somebody did, with their id alone: their name is theirs."""
    logger.info(event, user_id=user and user.pk, client=address_of(request), **more)


@receiver(account.user_signed_up)
def signed_up(request: HttpRequest, user: User, **_: Any) -> None:
    log("signed up", request, user)


@receiver(user_logged_in)
def session_began(request: HttpRequest, **_: Any) -> None:
    begin(request.session)


@receiver(account.user_logged_in)
def logged_in(request: HttpRequest, user: User, **_: Any) -> None:
    """Remember the session's browser and address, and log how they proved who they are."""
    UserSession.objects.create_from_request(request)
    records = get_authentication_records(request, user)
    by = " ".join(record.get("type") or record["method"] for record in records)
    log("logged in", request, user, by=by)


@receiver(user_logged_out)
def logged_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    SessionService.forget(session_key=request.session.session_key or "")
    log("logged out", request, user)


def renew_key(request: HttpRequest) -> None:
    """Have a session go on under a new key."""
    SessionService.forget(session_key=request.session.session_key or "")
    request.session.cycle_key()
    UserSession.objects.create_from_request(request)


@receiver([account.password_changed, account.password_set])
def password_changed(request: HttpRequest, user: User, **_: Any) -> None:
    """End all other sessions; this one goes on under a new key."""
    SessionService.end_others(user=user, session_key=request.session.session_key or "")
    UserSession.objects.create_from_request(request)
    log("password changed", request, user)


@receiver(account.password_reset)
def password_reset(request: HttpRequest, user: User, **_: Any) -> None:
    """End all sessions, and let them log in at once who have failed too often."""
    ratelimit.clear(request, action="login_failed", key=attempts_key(user))
    SessionService.end_others(user=user, session_key="")
    log("password reset", request, user)


@receiver(account.email_changed)
def address_changed(request: HttpRequest, user: User, **_: Any) -> None:
    log("address changed", request, user)


@receiver(second_factor.authenticator_used)
def second_factor_used(request: HttpRequest, user: User, **_: Any) -> None:
    # The user's id: until they are logged in, somebody else may log in to this session.
    request.session[SECOND_FACTOR] = user.pk
    if request.user.is_authenticated:
        # It opens more than before: who knew its key shall not.
        renew_key(request)


@receiver(second_factor.authentication_failed)
def second_factor_failed(request: HttpRequest, user: User, **_: Any) -> None:
    logger.warning("second factor failed", user_id=user.pk, client=address_of(request))


@receiver(second_factor.authenticator_added)
def second_factor_added(
    request: HttpRequest, user: User, authenticator: Authenticator, **_: Any
) -> None:
    if authenticator.type != Authenticator.Type.RECOVERY_CODES:
        request.session[SECOND_FACTOR] = user.pk
        renew_key(request)
    log("second factor added", request, user, kind=str(authenticator.type))


@receiver(second_factor.authenticator_removed)
def second_factor_removed(
    request: HttpRequest, user: User, authenticator: Authenticator, **_: Any
) -> None:
    if not Authenticator.objects.filter(user=user).exists():
        request.session.pop(SECOND_FACTOR, None)
        # They hold the proof of a factor that is no more.
        SessionService.end_others(user=user, session_key=request.session.session_key or "")
    log("second factor removed", request, user, kind=str(authenticator.type))


@receiver(second_factor.authenticator_reset)
def recovery_codes_renewed(
    request: HttpRequest, user: User, authenticator: Authenticator, **_: Any
) -> None:
    log("recovery codes renewed", request, user, kind=str(authenticator.type))
