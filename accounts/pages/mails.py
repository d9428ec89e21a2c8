"""Mails that ask somebody to confirm an address: at most one to an address in a few minutes."""

from allauth.account.internal.flows.email_verification import consume_email_verification_rate_limit
from allauth.core import ratelimit
from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

#: The mails that count, by their templates.
COUNTED = tuple(
    f"account/email/{name}"
    for name in ("email_confirmation", "email_confirmation_signup", "account_already_exists")
)


def is_held_back(request: HttpRequest, address: str) -> bool:
    """Return whether an address has got one too recently to get another."""
    return not consume_email_verification_rate_limit(request, address, dry_run=True)


def tell_of_earlier_mail(request: HttpRequest) -> None:
    """Say that no mail is sent, as there was one."""
    text = _(
        "We have sent a mail to this address within the last minutes, so we send no other yet. If "
        "none arrives, try again in a few minutes."
    )
    messages.info(request, text)


def forget_mail(request: HttpRequest, template: str, address: str) -> None:
    """Do not count a mail that the server has not taken."""
    if template in COUNTED:
        ratelimit.clear(request, action="confirm_email", key=address.lower())
