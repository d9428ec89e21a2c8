"""The pages of errors.

Django's own views of them look for a token in the form that was sent, and fail where that cannot be
read.
"""

import sys
from collections.abc import Callable
from weakref import WeakKeyDictionary

from django.core.exceptions import RequestDataTooBig
from django.core.signals import got_request_exception
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
    return answer_if_away(request) or broken(request)


def answer_if_away(request: HttpRequest) -> HttpResponse | None:
    """Answer a request that fails at this moment, if that is because the database is away."""
    error = sys.exception()
    if not (isinstance(error, Exception) and is_away(error)):
        return None
    gate.suspect(error)
    return away(request, was_begun=not refuses_writes(error))


class AwayInDevelopmentMiddleware:
    """With DEBUG, shows that the database is away as production does; all else has a traceback.

    Django calls no handler of ours then: its signal alone tells of the error. The terminal still
    has its traceback.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._answers: WeakKeyDictionary[HttpRequest, HttpResponse] = WeakKeyDictionary()
        got_request_exception.connect(self._note)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        return self._answers.pop(request, response)

    def _note(self, request: HttpRequest, **_: object) -> None:
        if answer := answer_if_away(request):
            self._answers[request] = answer
