"""Shows each page in its reader's language and time zone."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone, translation

from accounts.models import User, available_time_zones


class ReaderMiddleware:
    """Sets language and time zone: the user's own, or the browser's and the site's.

    The admin is in English and in the site's time zone, for everyone.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(reverse("admin:index")):
            return self.get_response(request)
        reader = request.user if isinstance(request.user, User) else None
        language = (reader and reader.language) or translation.get_language_from_request(request)
        zone = reader.time_zone if reader else ""
        if zone not in available_time_zones():  # None, or one that has been renamed meanwhile.
            zone = settings.TIME_ZONE
        request.LANGUAGE_CODE = language
        with translation.override(language), timezone.override(ZoneInfo(zone)):
            response = self.get_response(request)
            response.headers.setdefault("Content-Language", language)
        return response
