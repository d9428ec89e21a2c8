"""How django-allauth behaves here."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as current
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import BaseForm
from django.http import HttpRequest
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from qrcode.main import QRCode

from accounts.models import User
from accounts.pages.backend import people_called
from accounts.pages.clients import address_of
from accounts.services import UserService

logger = structlog.get_logger(__name__)

#: The links in a mail, by their names in its template.
LINKS = ("activate_url", "password_reset_url", "signup_url")

NOT_TOGETHER = gettext_lazy("This name and password do not belong together.")


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # It ships no types.
    """Signing up, logging in, and mails."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": NOT_TOGETHER,
        "email_password_mismatch": NOT_TOGETHER,
        "incorrect_password": gettext_lazy("This is not your password."),
        "enter_current_password": gettext_lazy("This is not your password."),
        "incorrect_code": gettext_lazy("This code is not right, or no longer."),
        "too_many_login_attempts": gettext_lazy(
            "Too many attempts have failed. Wait a few minutes, and try again."
        ),
        "duplicate_email": gettext_lazy("This is your address already."),
    }

    # Signing up

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002  (allauth's own signature)
        return bool(settings.ACCOUNTS_SIGN_UP)

    def clean_username(self, username: str, shallow: bool = False) -> str:  # noqa: FBT001, FBT002  (allauth's own signature)
        cleaned: str = super().clean_username(User.normalize_username(username), shallow)
        return cleaned

    def save_user(
        self,
        request: HttpRequest,
        user: User,  # noqa: ARG002  (allauth's own signature)
        form: BaseForm,
        commit: bool = True,  # noqa: ARG002, FBT001, FBT002  (allauth's own signature)
    ) -> User:
        """Create somebody who signs up."""
        given = form.cleaned_data
        try:
            newcomer = UserService.create_user(
                username=given["username"],
                password=given["password1"],
                email=given.get("email") or "",
            )
        except ValidationError as error:  # The form was valid a moment ago.
            messages.error(request, _("Somebody has just taken this user name."))
            raise ImmediateHttpResponse(redirect("account_signup")) from error
        UserService.set_preferences(user=newcomer, time_zone=given["time_zone"])
        return newcomer

    def set_password(self, user: User, password: str) -> None:
        UserService.set_password(user=user, password=password)

    # Logging in

    def get_login_stages(self) -> list[str]:
        ours = {
            "allauth.account.stages.EmailVerificationStage": (
                "accounts.pages.stages.ConfirmAddressStage"
            )
        }
        return [ours.get(stage, stage) for stage in super().get_login_stages()]

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Raise ValidationError if there were too many attempts."""
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            logger.warning("log-in refused: too many attempts", client=address_of(request))
            raise

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        # Not what was typed: people type their password in the wrong field.
        people = people_called(credentials.get("username") or credentials.get("email") or "")
        user_id = people[0].pk if people else None
        logger.warning("log-in failed", user_id=user_id, client=address_of(request))

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:  # noqa: ARG002  (allauth's own signature)
        # Not with the Host header, as allauth has it: each port would give further attempts.
        name: str = credentials.get("email") or credentials.get("username") or ""
        return name.lower()

    def get_client_ip(self, request: HttpRequest) -> str:
        return address_of(request)

    def is_safe_url(self, url: str) -> bool:
        """Return whether an address leads to a page of this site."""
        return url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    # Mails

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail whose links lead to SITE_URL, whatever the request's Host header says.

        Raises:
            ImmediateHttpResponse: a page that says so, if the mail server does not take it.
        """
        links = {name: at_site(context[name]) for name in LINKS if name in context}
        try:
            super().send_mail(
                template_prefix, email, {**context, **links, "site_url": settings.SITE_URL}
            )
        except OSError as error:  # As all errors of smtplib are.
            logger.warning("mail not sent", mail=template_prefix, error=type(error).__name__)
            # Rendered if it is shown: the page would use up the notices of what was done.
            page = TemplateResponse(current.request, "account/mail_not_sent.html", status=503)
            raise ImmediateHttpResponse(page) from error

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send a mail about something that is done: it does not fail with the mail."""
        with suppress(ImmediateHttpResponse):
            super().send_notification_mail(*args, **kwargs)

    def send_account_already_exists_mail(self, email: str) -> None:
        User().set_password(email)  # Somebody new would have a password hashed, too.
        super().send_account_already_exists_mail(email)


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # It ships no types.
    """Authenticator apps and passkeys."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": gettext_lazy("This is not right, or no longer. Try again."),
    }

    def build_totp_svg(self, url: str) -> str:
        """Draw a QR code as our Content-Security-Policy allows it: without styles, in the page."""
        code = QRCode()
        code.add_data(url)
        rows = code.get_matrix()
        squares = (
            f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
        )
        return format_html(
            '<svg class="qr" role="img" aria-label="{}" viewBox="0 0 {} {}"><path d="{}"/></svg>',
            *(_("QR code"), len(rows), len(rows), "".join(squares)),
        )

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:  # noqa: A002  (allauth's own signature)
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return _("Passkey") if number == 1 else _("Passkey %(number)d") % {"number": number}

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return {**super().get_public_key_credential_rp_entity(), "name": "Tidy"}


def at_site(link: str) -> str:
    """Return a link to the same page under SITE_URL."""
    return settings.SITE_URL + urlsplit(link)._replace(scheme="", netloc="").geturl()
