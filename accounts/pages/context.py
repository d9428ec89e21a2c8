"""What all templates know of this site."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, bool]:  # noqa: ARG001  (a context processor)
    """Return whether people may sign up, and whether mails can be sent."""
    return {
        "signup_is_open": settings.ACCOUNTS_SIGN_UP,
        "sends_mail": settings.SENDS_MAIL,
    }
