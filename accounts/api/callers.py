"""Who calls the API: by a token of theirs, or by the session of their browser."""

from dataclasses import dataclass
from typing import override

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja.errors import AuthenticationError
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from accounts.api.errors import Refusal, Refused, TooManyRequests
from accounts.limits import seconds_to_wait
from accounts.models import Access, Token, User
from accounts.tokens.services import TokenService

#: What each token, and each person by their sessions, may ask for in a minute.
REQUESTS_A_MINUTE = 600

#: The methods that change nothing.
READING = {"GET", "HEAD"}


@dataclass(frozen=True)
class Caller:
    """Who calls: a person, and the token by which they do; None for a session."""

    user: User
    token: Token | None = None


class CallerRequest(HttpRequest):
    """A request of somebody who is known."""

    auth: Caller


class BearerToken(HttpBearer):
    """A token in the header `Authorization`. If there is such a header, no session counts."""

    def __init__(self, *, for_itself: bool = False) -> None:
        """Let tokens that only read change nothing, but `for_itself` what is the token's own."""
        super().__init__()
        self._for_itself = for_itself

    @override
    def __call__(self, request: HttpRequest) -> Caller | None:
        given = request.headers.get("Authorization")
        if given is None:
            return None
        scheme, _, secret = given.partition(" ")
        caller = (
            self.authenticate(request, secret.strip(" ")) if scheme.lower() == "bearer" else None
        )
        if caller is None:
            raise AuthenticationError
        return caller

    @override
    def authenticate(self, request: HttpRequest, token: str) -> Caller | None:
        found = TokenService.find(secret=token)
        if found is None or found.access not in {Access.READ, Access.WRITE}:
            return None
        check_limit(f"token:{found.pk}")
        TokenService.note_use(token=found)
        changes = request.method not in READING
        if changes and found.access != Access.WRITE and not self._for_itself:
            raise Refused(Refusal.READ_ONLY_TOKEN)
        timezone.activate(found.user.zone)
        return Caller(found.user, found)


class BrowserSession(APIKeyCookie):
    """The session of a browser, with the token against forgery for changes."""

    param_name = settings.SESSION_COOKIE_NAME

    @override
    def __call__(self, request: HttpRequest) -> Caller | None:
        return self.authenticate(request, None)

    @override
    def authenticate(self, request: HttpRequest, key: str | None) -> Caller | None:
        if not request.user.is_authenticated:
            return None
        user = request.user
        check_limit(f"person:{user.pk}")
        if request.method not in READING and check_csrf(request):
            raise Refused(Refusal.CSRF)
        return Caller(user)


def check_limit(whose: str) -> None:
    """Count a request; TooManyRequests if there have been too many in this minute."""
    if seconds := seconds_to_wait(f"api:{whose}", a_minute=REQUESTS_A_MINUTE):
        raise TooManyRequests(seconds)


#: How people call, in general; and how a token may do with itself what it likes.
CALLERS = [BearerToken(), BrowserSession()]
ITSELF = [BearerToken(for_itself=True)]
