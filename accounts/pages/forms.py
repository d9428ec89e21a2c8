"""The forms of accounts, with our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.account import forms as account
from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import forms as passkeys
from django import forms
from django.core.validators import MaxLengthValidator, RegexValidator
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import User, available_time_zones
from accounts.services import UserService

MAX_PASSKEY_NAME = 100

#: The longest address, and more than the longest user name.
MAX_ADDRESS = 254

#: Says first what is most often wrong.
NAME_WITHOUT_SPACES = RegexValidator(
    r"^\S*$", _("A user name has no spaces: use a dot or a line instead.")
)


def bound(field: forms.Field) -> None:
    """Have a field take no more than an address has."""
    others = [one for one in field.validators if not isinstance(one, MaxLengthValidator)]
    field.validators = [*others, MaxLengthValidator(MAX_ADDRESS)]
    field.widget.attrs["maxlength"] = str(MAX_ADDRESS)


class LogInForm(account.LoginForm):  # type: ignore[misc]  # It ships no types.
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login = self.fields["login"]
        login.label = _("User name or email address")
        login.widget.attrs |= {
            "autocomplete": "username",
            "autocapitalize": "none",
            "spellcheck": "false",
            "autofocus": True,
        }
        bound(login)

    def user_credentials(self) -> dict[str, str]:
        """Return what was typed; who is meant by it, our backend finds."""
        return {
            "username": self.cleaned_data["login"],
            "password": self.cleaned_data["password"],
        }


class SignUpForm(account.SignupForm):  # type: ignore[misc]  # It ships no types.
    #: The device's, which a script fills in.
    time_zone = forms.CharField(
        required=False, widget=forms.HiddenInput(attrs={"data-zone": True}), max_length=100
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        username = self.fields["username"]
        username.label = _("User name")
        username.help_text = _("Letters, digits and @ . + - _. Other people do not see it.")
        username.widget.attrs |= {
            "autocapitalize": "none",
            "spellcheck": "false",
            "autofocus": True,
        }
        username.validators = [NAME_WITHOUT_SPACES, *username.validators]
        if "email" in self.fields:
            self.fields["email"].label = _("Email address")
            self.fields["email"].help_text = _("We send a link there, to confirm it.")
            bound(self.fields["email"])

    def validate_unique_email(self, value: str) -> str:
        """Take any address: whether it is somebody's, a mail tells them alone."""
        return value

    def save(self, request: HttpRequest) -> User:
        newcomer: User = get_account_adapter().save_user(request, User(), self)
        return newcomer

    def clean_time_zone(self) -> str:
        """Return a time zone; empty, if this host does not know it."""
        zone: str = self.cleaned_data["time_zone"]
        return zone if zone in available_time_zones() else ""


class PasswordOnceMoreForm(account.ReauthenticateForm):  # type: ignore[misc]  # As above.
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].widget.attrs["autofocus"] = True


class AddressForm(account.AddEmailForm):  # type: ignore[misc]  # It ships no types.
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("New email address")
        bound(self.fields["email"])

    def clean_email(self) -> str:
        value: str = super().clean_email()
        if value == self.user.email.lower():
            raise get_account_adapter().validation_error("duplicate_email")
        return value

    def save(self, request: HttpRequest) -> Any:
        """Send the link that confirms the new address; until then the one before stays."""
        before = self.user.email
        try:
            return super().save(request)
        finally:
            # django-allauth drops an address that was never confirmed; the new one may be mistyped.
            UserService.set_address(user=self.user, address=before)


class ForgottenPasswordForm(account.ResetPasswordForm):  # type: ignore[misc]  # It ships no types.
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        bound(self.fields["email"])

    def clean_email(self) -> str:
        """Find the one person whose address it is; the mail goes there as we know it."""
        address: str = self.cleaned_data["email"].lower()
        owner = UserService.owner_of(address=address)
        self.users = [owner] if owner and owner.is_active else []
        return address


@contextmanager
def refusing_nonsense() -> Iterator[None]:
    """Raise ValidationError where a passkey has a form that no browser gives it.

    The libraries fail in many ways on it.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise get_adapter().validation_error("incorrect_code") from error


class AddPasskeyForm(passkeys.AddWebAuthnForm):  # type: ignore[misc]  # It ships no types.
    name = forms.CharField(
        label=_("Name"),
        required=False,
        max_length=MAX_PASSKEY_NAME,
        help_text=_("To tell it from others, such as “Phone”."),
    )
    passwordless = forms.BooleanField(
        label=_("Log in with it alone, without a password"),
        required=False,
        initial=True,
        help_text=_("The device then asks for your finger, face or PIN. Not every key can do it."),
    )

    def clean(self) -> dict[str, Any]:
        with refusing_nonsense():
            cleaned: dict[str, Any] = super().clean()
            return cleaned


class CheckedPasskey:
    """For forms that are sent a passkey which somebody has."""

    def clean_credential(self) -> Authenticator:
        with refusing_nonsense():
            return super().clean_credential()  # type: ignore[misc]  # allauth's form has it.


class LogInByPasskeyForm(CheckedPasskey, passkeys.LoginWebAuthnForm):  # type: ignore[misc]  # It ships no types.
    """Of the log-in page."""


class PasskeyForm(CheckedPasskey, passkeys.AuthenticateWebAuthnForm):  # type: ignore[misc]  # It ships no types.
    """Of the log-in's second step."""


class PasskeyOnceMoreForm(CheckedPasskey, passkeys.ReauthenticateWebAuthnForm):  # type: ignore[misc]  # It ships no types.
    """Of the page that asks once more."""


class RenamePasskeyForm(passkeys.EditWebAuthnForm):  # type: ignore[misc]  # It ships no types.
    name = forms.CharField(label=_("Name"), max_length=MAX_PASSKEY_NAME)
