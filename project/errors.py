"""The pages of errors that Django would answer in a word or two."""

import sys

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.defaults import bad_request
from django.views.defaults import server_error as broken

from project.away import away, is_away
from project.gate import gate


def malformed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be read: 413 if it is too large, 400 otherwise."""
    if isinstance(exception, RequestDataTooBig):
        return too_large(request)
    return bad_request(request, exception)


def too_large(request: HttpRequest) -> HttpResponse:
    """Say that a request is too large, in the browser's language: nobody has looked who sent it."""
    with translation.override(translation.get_language_from_request(request)):
        return render(None, "413.html", status=413)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a request that has failed: 503 if the database is away, 500 otherwise."""
    error = sys.exception()
    if isinstance(error, Exception) and is_away(error):
        gate.suspect(error)
        return away(request, was_begun=True)
    return broken(request)
