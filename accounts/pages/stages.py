"""What stands between a password and being logged in."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.stages import EmailVerificationStage
from django.http import HttpResponse

from accounts.models import User


class ConfirmAddressStage(EmailVerificationStage):  # type: ignore[misc]  # It ships no types.
    """Has somebody who has just signed up confirm their address.

    Nobody else: people whom staff have added, and those who mistyped a new address, would be
    locked out.
    """

    def handle(self) -> tuple[HttpResponse | None, bool]:
        # Without a user, somebody signs up with an address that is taken, and must not notice.
        if self.login.user is None or is_newcomer(self.login.user):
            answer: tuple[Any, bool] = super().handle()
            return answer
        return None, True


def is_newcomer(user: User) -> bool:
    """Return whether somebody signed up, has not confirmed the address, and was never logged in.

    Only signing up makes an address the first one before it is confirmed.
    """
    return (
        user.last_login is None
        and EmailAddress.objects.filter(user=user, primary=True, verified=False).exists()
    )
