"""A person's email address, where mails can be sent."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.forms import AddEmailForm
from allauth.account.models import EmailAddress
from allauth.account.views import ConfirmEmailView, EmailView, PasswordResetFromKeyView
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.pages.mails import is_held_back, tell_of_earlier_mail

type View = Callable[..., HttpResponse]


def needs_mail(template: str) -> Callable[[View], View]:
    """Show this page in place of a view, if no mails can be sent."""

    def decorate(view: View) -> View:
        @wraps(view)
        def shown(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            if not settings.SENDS_MAIL:
                return render(request, template)
            return view(request, *args, **kwargs)

        return shown

    return decorate


class AddressView(EmailView):  # type: ignore[misc]  # It ships no types.
    """Shows the address, and changes it once the new one is confirmed."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Tell the address in use from the one that is to take its place."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        address = self.request.user.email
        waiting = EmailAddress.objects.filter(user=self.request.user, verified=False)
        return {
            **context,
            "address": address,
            "is_confirmed": context["current_emailaddress"] is not None,
            "coming": waiting.exclude(email__iexact=address).order_by("-pk").first(),
        }

    def form_valid(self, form: AddEmailForm) -> HttpResponse:
        held_back = is_held_back(self.request, form.cleaned_data["email"])
        response: HttpResponse = super().form_valid(form)
        if held_back:
            tell_of_earlier_mail(self.request)
        return response

    def _action_send(self, request: HttpRequest) -> None:
        super()._action_send(request)
        if not self._did_send_verification_email:
            tell_of_earlier_mail(request)

    def _action_primary(self, request: HttpRequest) -> None:
        """Do nothing: it would put an address in use that nobody has confirmed."""


class LogsOutByPost:
    """For pages of mailed links: who is logged in as somebody else stays so until they submit."""

    request: HttpRequest

    def logout(self) -> None:
        if self.request.method == "POST":
            super().logout()  # type: ignore[misc]  # allauth's view has it.


class ConfirmView(LogsOutByPost, ConfirmEmailView):  # type: ignore[misc]  # It ships no types.
    """The page of the link that confirms an address."""


class NewPasswordView(LogsOutByPost, PasswordResetFromKeyView):  # type: ignore[misc]  # It ships no types.
    """The page of the link that lets somebody choose a new password."""
