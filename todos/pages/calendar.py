"""A person's due dates for calendar programs, at an address that holds a secret."""

from typing import cast
from urllib.parse import urlsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from accounts.limits import seconds_to_wait
from accounts.models import Access, User
from accounts.tokens.services import TokenService
from todos.calendar import calendar_of, feed_of

#: How often a calendar may be asked for in a minute: by all the programs that know its address.
ASKS_A_MINUTE = 60


@csrf_exempt  # It changes nothing: what is refused is the method.
@require_safe
def show(request: HttpRequest, secret: str) -> HttpResponseBase:
    """Send the calendar of the person whose secret this is, unless the program has it already."""
    token = TokenService.find(secret=secret)
    if token is None or token.access != Access.CALENDAR:
        raise Http404
    if wait := seconds_to_wait(f"calendar:{token.pk}", a_minute=ASKS_A_MINUTE):
        return HttpResponse(
            "Too many requests.\n",
            content_type="text/plain",
            status=429,
            headers={"Retry-After": str(wait)},
        )
    TokenService.note_use(token=token)
    return calendar_response(request, token.user)


def calendar_response(request: HttpRequest, user: User) -> HttpResponseBase:
    """Answer with a person's calendar, or 304."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    version, content = feed_of(user, host=host)
    etag = quote_etag(version)
    # Typed as it is to Django's function, which reads nothing but headers.
    response = cast(
        "HttpResponse",
        StreamingHttpResponse(calendar_of(user, host=host))
        if content is None
        else HttpResponse(content),
    )
    response["Content-Type"] = "text/calendar; charset=utf-8"
    response["Content-Disposition"] = 'inline; filename="tidy.ics"'
    response["Cache-Control"] = "private, no-cache"
    response["ETag"] = etag
    return get_conditional_response(request, etag=etag, response=response) or response
