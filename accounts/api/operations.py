"""What the API offers of accounts: who am I, preferences, and the end of a token."""

from hashlib import blake2b

from django.db import transaction
from django.http import Http404, HttpResponse
from ninja import Router, Status
from pydantic_core import to_json

from accounts.api.callers import ITSELF, CallerRequest
from accounts.api.preconditions import IF_MATCH, check, say_state
from accounts.api.schemas import Me, PreferencesIn, PreferencesOut, TokenOut
from accounts.export import preferences_of
from accounts.models import User
from accounts.services import UserService
from accounts.tokens.services import TokenNotFound, TokenService

router = Router(tags=["you"])


@router.get("/me", response=Me, operation_id="getMe", summary="Who you are")
def get_me(request: CallerRequest) -> Me:
    user, token = request.auth.user, request.auth.token
    return Me(
        username=user.username,
        first_name=user.first_name,
        last_name=user.last_name,
        email=user.email,
        joined_at=user.date_joined,
        token=TokenOut.model_validate(token) if token else None,
    )


@router.delete(
    "/me/token",
    auth=ITSELF,
    response={204: None},
    operation_id="revokeToken",
    summary="Revoke the token by which you call",
)
def revoke_token(request: CallerRequest) -> Status[None]:
    """From now on it is refused. A token that only reads may do this, too."""
    token = request.auth.token
    try:
        TokenService.revoke(user=request.auth.user, token_id=token.pk if token else 0)
    except TokenNotFound as error:
        raise Http404 from error
    return Status(204, None)


@router.get(
    "/preferences",
    response=PreferencesOut,
    operation_id="getPreferences",
    summary="What you prefer",
)
def get_preferences(request: CallerRequest, response: HttpResponse) -> PreferencesOut:
    return answer(request.auth.user, response)


@router.patch(
    "/preferences",
    response=PreferencesOut,
    operation_id="changePreferences",
    summary="Change what you prefer",
    openapi_extra=IF_MATCH,
)
def change_preferences(
    request: CallerRequest, response: HttpResponse, given: PreferencesIn
) -> PreferencesOut:
    """What is not given stays as it is. With `If-Match`, only if nobody has changed it since."""
    with transaction.atomic():
        user = UserService.lock(user=request.auth.user)
        check(request, state_of(user))
        UserService.set_preferences(user=user, **given.changes())
    return answer(user, response)


def answer(user: User, response: HttpResponse) -> PreferencesOut:
    say_state(response, state_of(user))
    return PreferencesOut(**preferences_of(user))


def state_of(user: User) -> str:
    """Return what differs when a preference has been changed."""
    return blake2b(to_json(preferences_of(user)), digest_size=8).hexdigest()
