"""The pages of errors.

Django's own views of them look for a token in the form that was sent, and fail where that cannot be
read.
"""

import sys

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.defaults import server_error as broken

from project.away import away, is_away
from project.gate import gate
from tasks.engine.database import refuses_writes


def malformed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be read: 413 if it is too large, 400 otherwise."""
    if isinstance(exception, RequestDataTooBig):
        return too_large(request)
    return plain(request, 400)


def too_large(request: HttpRequest) -> HttpResponse:
    return plain(request, 413)


def plain(request: HttpRequest, status: int) -> HttpResponse:
    """Answer in the browser's language: nobody has looked who sent this."""
    with translation.override(translation.get_language_from_request(request)):
        return render(None, f"{status}.html", status=status)


def forbidden(
    request: HttpRequest,
    exception: Exception,  # noqa: ARG001  (Django gives it by name)
) -> HttpResponse:
    return render(request, "403.html", status=403)


def not_found(
    request: HttpRequest,
    exception: Exception,  # noqa: ARG001  (Django gives it by name)
) -> HttpResponse:
    return render(request, "404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a request that has failed: 503 if the database is away, 500 otherwise."""
    error = sys.exception()
    if isinstance(error, Exception) and is_away(error):
        gate.suspect(error)
        return away(request, was_begun=not refuses_writes(error))
    return broken(request)
