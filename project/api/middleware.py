"""What holds for all answers below `/api/`, whoever gives them."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse

from project.api.problems import CONTENT_TYPE, PREFIX, as_problem


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
        if is_head := request.method == "HEAD":
            request.method = "GET"  # The web server sends no body.
        response = self.get_response(request)
        if is_head:
            request.method = "HEAD"
        is_error = response.status_code >= HTTPStatus.BAD_REQUEST
        if is_error and response.headers.get("Content-Type") != CONTENT_TYPE:
            response = as_problem(response)
        if "GET" in response.headers.get("Allow", ""):
            response.headers["Allow"] += ", HEAD"
        response.headers["Cache-Control"] = "no-store"
        return response
