"""Logs requests: one event each."""

from collections.abc import Callable
from http import HTTPStatus
from time import monotonic

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts.pages.clients import address_of
from project.logs.paths import shown_method, shown_path

logger = structlog.get_logger(__name__)


class RequestLogMiddleware:
    """Logs each request with method and path as paths.py shows them, and without its query.

    The web server's own log would have both as they are. Health probes do not come this far, and
    static files are not told.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = monotonic()
        response = self.get_response(request)
        is_fine = response.status_code < HTTPStatus.BAD_REQUEST
        if not (is_fine and request.path.startswith(settings.STATIC_URL)):
            logger.info(
                "request",
                method=shown_method(request),
                path=shown_path(request),
                status=response.status_code,
                milliseconds=round((monotonic() - began) * 1000),
                client=address_of(request),
            )
        return response
