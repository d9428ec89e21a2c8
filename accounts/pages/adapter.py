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
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from qrcode.main import QRCode

from accounts.models import User
from accounts.pages.backend import attempts_key, person_meant
from accounts.pages.clients import address_of, browser_of
from accounts.pages.mails import forget_mail
from accounts.pages.stages import is_newcomer
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
            return UserService.sign_up(
                username=given["username"],
                password=given["password1"],
                address=given.get("email") or "",
                time_zone=given["time_zone"],
            )
        except ValidationError as error:  # The form was valid a moment ago.
            messages.error(request, _("Somebody has just taken this user name."))
            raise ImmediateHttpResponse(redirect("account_signup")) from error

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

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Check a password, and count the attempt; look up once who is meant."""
        meant = {**credentials, "person": person_meant(credentials)}
        found: User | None = super().authenticate(request, **meant)
        return found

    def reauthenticate(self, user: User, password: str) -> bool:
        # By who they are: their name may be another person's address.
        return self.authenticate(current.request, person=user, password=password) is not None

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        if code == "too_many_login_attempts":
            logger.warning("log-in refused: too many attempts", client=address_of(self.request))
        error: ValidationError = super().validation_error(code, *args)
        return error

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        # Not what was typed: people type their password in the wrong field.
        person = person_meant(credentials)
        user_id = person and person.pk
        logger.warning("log-in failed", user_id=user_id, client=address_of(request))

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        logger.warning("log-in refused: inactive", user_id=user.pk, client=address_of(request))
        page: HttpResponse = super().respond_user_inactive(request, user)
        return page

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:  # noqa: ARG002  (allauth's own signature)
        # By person, however they are named, and not with the Host header, as allauth has it: each
        # port would give further attempts.
        if person := person_meant(credentials):
            return attempts_key(person)
        name: str = credentials.get("username") or credentials.get("email") or ""
        return f"name {name.lower()}"

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        """Forget no attempts by address: one that only waits may be another person's.

        Those of who has reset their password are forgotten by `receivers.password_reset`.
        """

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
            forget_mail(current.request, template_prefix, email)
            logger.warning("mail not sent", mail=template_prefix, error=type(error).__name__)
            # Rendered if it is shown: the page would use up the notices of what was done.
            page = TemplateResponse(current.request, "account/mail_not_sent.html", status=503)
            raise ImmediateHttpResponse(page) from error

    def get_http_user_agent(self, request: HttpRequest) -> str:
        # For a mail, in plain words: what a browser calls itself could hold a text of its own.
        return browser_of(super().get_http_user_agent(request))

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send a mail about something that is done: it does not fail with the mail."""
        with suppress(ImmediateHttpResponse):
            super().send_notification_mail(*args, **kwargs)

    def send_confirmation_mail(
        self,
        request: HttpRequest,
        emailconfirmation: Any,
        signup: bool,  # noqa: FBT001  (allauth's own signature)
    ) -> None:
        """Send the link that confirms an address.

        Where somebody signs up with the address of another person, this one is told of it instead:
        on the site, it looks like any other sign-up, now and at each log-in, in any browser.
        """
        waiting = emailconfirmation.email_address
        owner = UserService.owner_of(address=waiting.email)
        if owner and owner != waiting.user and is_newcomer(waiting.user):
            self.send_account_already_exists_mail(waiting.email)
        else:
            super().send_confirmation_mail(request, emailconfirmation, signup)

    # The address

    def can_delete_email(self, email_address: Any) -> bool:
        """Return whether an address can be forgotten: one that waits to be confirmed.

        django-allauth would put one that waits in the place of the one in use.
        """
        waits: bool = not email_address.verified
        return waits and email_address.email != email_address.user.email.lower()


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
