"""Who calls, what they may do, and how often."""

from hashlib import sha256
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from accounts.api.callers import REQUESTS_A_MINUTE
from accounts.models import Access, Token, User
from accounts.tokens.services import NOTED_EVERY


class TokenAuthentication(BaseAuthentication):  # type: ignore[misc]
    """Finds the token in the header `Authorization`."""

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = sha256(secret.encode()).hexdigest()
        tokens = Token.objects.live().select_related("user")
        try:
            token = tokens.get(prefix=secret[5:13], digest=digest)
        except Token.DoesNotExist as error:
            raise AuthenticationFailed from error
        if token.access == Access.CALENDAR:
            raise AuthenticationFailed
        note_use(token)
        timezone.activate(token.user.zone)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return "Bearer"


def note_use(token: Token) -> None:
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - NOTED_EVERY:
        token.last_used_at = now
        token.save(update_fields=["last_used_at"])


class MayDoThat(BasePermission):  # type: ignore[misc]
    """Lets a token that only reads change nothing."""

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002
        token = request.auth
        if token is None:
            return False
        return request.method in SAFE_METHODS or token.access == Access.WRITE


class TokenThrottle(SimpleRateThrottle):  # type: ignore[misc]
    """Limits how often each token may call."""

    scope = "token"
    rate = f"{REQUESTS_A_MINUTE}/min"

    def get_cache_key(self, request: Request, view: Any) -> str | None:  # noqa: ARG002
        if request.auth is None:
            return None
        return f"throttle_{self.scope}_{request.auth.pk}"
