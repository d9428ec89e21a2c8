"""Shows pages in the reader's language and time zone, and the admin after a second factor."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pages.receivers import SECOND_FACTOR


class ReaderMiddleware:
    """Sets language and time zone: the user's own, or the browser's and the site's.

    The admin is in English for everyone.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        reader = request.user if isinstance(request.user, User) else None
        zone = reader.zone if reader else ZoneInfo(settings.TIME_ZONE)
        if request.path.startswith(reverse("admin:index")):
            with timezone.override(zone):
                return self.get_response(request)
        language = (reader and reader.language) or translation.get_language_from_request(request)
        request.LANGUAGE_CODE = language
        with translation.override(language), timezone.override(zone):
            response = self.get_response(request)
            response.headers.setdefault("Content-Language", language)
            if not (reader and reader.language):
                patch_vary_headers(response, ["Accept-Language"])
        return response


class SecondFactorMiddleware:
    """Shows the admin to staff who have proved a second factor alone, if the settings ask for it.

    The session knows. If it does not, they may have set one up elsewhere: they are asked for it, or
    led to where they set it up.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.ACCOUNTS_STAFF_SECOND_FACTOR and self.is_admins(request.path):
            user = request.user
            if user.is_staff and request.session.get(SECOND_FACTOR) != user.pk:
                return self.ask(request, user.pk)
        return self.get_response(request)

    def is_admins(self, path: str) -> bool:
        """Return whether an address belongs to the admin; staff may leave it in any case."""
        return path.startswith(reverse("admin:index")) and path != reverse("admin:logout")

    def ask(self, request: HttpRequest, user_id: int | None) -> HttpResponse:
        """Lead to where a second factor is proved, or set up."""
        theirs = Authenticator.objects.filter(user_id=user_id).values_list("type", flat=True)
        kinds = set(theirs)
        if not kinds:
            messages.warning(
                request,
                _("The admin asks staff for a second factor. Set one up here, then go on."),
            )
            return redirect("mfa_index")
        has_app = Authenticator.Type.TOTP in kinds
        page = "mfa_reauthenticate" if has_app else "mfa_reauthenticate_webauthn"
        return redirect(f"{reverse(page)}?{urlencode({'next': request.get_full_path()})}")
