"""What stands between a password and being logged in."""

from allauth.account.adapter import get_adapter
from allauth.account.app_settings import EmailVerificationMethod
from allauth.account.internal.flows.email_verification import send_verification_email_at_login
from allauth.account.models import EmailAddress
from allauth.account.stages import EmailVerificationStage
from django.http import HttpResponse

from accounts.models import User
from accounts.pages.mails import tell_of_earlier_mail


class ConfirmAddressStage(EmailVerificationStage):  # type: ignore[misc]  # It ships no types.
    """Has somebody who has signed up confirm their address before they are let in.

    Nobody else: people whom staff have added, and those who mistyped a new address, would be
    locked out.
    """

    def handle(self) -> tuple[HttpResponse | None, bool]:
        user = self.login.user
        if self.login.email_verification == EmailVerificationMethod.NONE or not is_newcomer(user):
            return None, True
        if not send_verification_email_at_login(self.request, self.login):
            tell_of_earlier_mail(self.request)
        return get_adapter().respond_email_verification_sent(self.request, user), True


def is_newcomer(user: User) -> bool:
    """Return whether somebody signed up, has not confirmed the address, and was never logged in.

    Signing up alone makes an address the first one before it is confirmed (`UserService.sign_up`).
    """
    return (
        user.last_login is None
        and EmailAddress.objects.filter(user=user, primary=True, verified=False).exists()
    )
