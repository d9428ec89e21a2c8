"""Gives each request an id: in all its lines of the log, in its answer, in the runs it asks for."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bind_contextvars, unbind_contextvars

from tasks.engine.runs.context import REQUEST_ID, matching

HEADER = "X-Request-ID"


class RequestIdMiddleware:
    """Takes a request's id from a trusted proxy, or makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = given_id(request) or uuid4().hex
        bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response.headers[HEADER] = request_id
        return response


# Not at the end of the call: an export is written after that.
@receiver(request_finished)
def forget_id(**_: Any) -> None:
    unbind_contextvars("request_id")


def given_id(request: HttpRequest) -> str:
    """Return the id that a trusted proxy has given a request; empty if there is none."""
    given = request.headers.get(HEADER, "") if settings.TRUSTED_PROXIES else ""
    # It goes into logs, the database, messages and headers.
    return matching(REQUEST_ID, given)
