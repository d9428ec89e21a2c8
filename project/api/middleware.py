"""What holds for all answers below `/api/`, whoever gives them."""

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from project.api.problems import CONTENT_TYPE, HTTPS_REQUIRED, PREFIX, as_problem, problem


class ApiMiddleware:
    """Has nobody keep an answer of the API, gives every error as a problem, and answers HEAD.

    Errors come also from what lies around the API: while the database is away, from a header that
    is malformed, or from an address that is none.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not f"{request.path}/".startswith(PREFIX):
            return self.get_response(request)
        response = self.answer(request)
        is_error = response.status_code >= HTTPStatus.BAD_REQUEST
        if is_error and response.headers.get("Content-Type") != CONTENT_TYPE:
            response = as_problem(response)
        allowed = response.headers.get("Allow", "").split(", ")
        if "GET" in allowed and "HEAD" not in allowed:
            response.headers["Allow"] += ", HEAD"
        response.headers["Cache-Control"] = "no-store"
        return response

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer a request, HEAD as GET: the web server then sends no body."""
        if is_in_the_clear(request):
            return problem(403, *HTTPS_REQUIRED)
        if "Transfer-Encoding" in request.headers:
            return problem(411)  # Django would take the body for empty.
        if request.method != "HEAD":
            return self.get_response(request)
        request.method = "GET"
        response = self.get_response(request)
        request.method = "HEAD"
        return response


def is_in_the_clear(request: HttpRequest) -> bool:
    """Say whether a request came by http that a redirect would not help.

    Many clients follow one with GET, and take the list for the answer to what they added; and a
    token has been read by others on its way.
    """
    matters = request.method not in {"GET", "HEAD"} or "Authorization" in request.headers
    return settings.SECURE_SSL_REDIRECT and matters and not request.is_secure()
