"""Every error of the API, as `application/problem+json` (RFC 9457).

Nothing here imports the API itself: also a request that never comes so far is answered with one.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TypedDict

from django.http import HttpResponse, JsonResponse

CONTENT_TYPE = "application/problem+json"

#: The code of what has faults in single fields, and what it says.
INVALID = "invalid", "Something of this request is not accepted."

#: The same of a body where none is taken.
NO_BODY = "no-body", "This operation takes no body."

#: The same of what others could read on its way.
HTTPS_REQUIRED = (
    "https-required",
    "Send requests by https alone. If this one had a token, revoke it: others may have read it.",
)

#: Where the API begins.
PREFIX = "/api/"

#: Headers of a refusal that are for whoever sent the request.
KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


class FieldError(TypedDict):
    """What is wrong with one thing of a request.

    Attributes:
        place: `body`, `query`, `path` or `header`.
        field: its name; of something inside, such as `ids.3`; empty for all of the place.
        detail: what is wrong.
    """

    place: str
    field: str
    detail: str


#: What each status is called, and what it means where nothing more is known. Names are ours: those
#: of Python differ from version to version, and programs tell reasons by them.
STATUSES = {
    400: ("Bad Request", "The request is malformed."),
    401: ("Unauthorized", "There is no valid token, and no session."),
    403: ("Forbidden", "This is not allowed."),
    404: ("Not Found", "There is nothing at this address, or it is not yours."),
    405: ("Method Not Allowed", "This address does not take this method."),
    409: (
        "Conflict",
        "Something has been added or deleted at the same moment. Nothing was changed; try again.",
    ),
    410: ("Gone", "It has left."),
    411: ("Length Required", "Send the body with its Content-Length, not in chunks."),
    412: ("Precondition Failed", "It has been changed."),
    413: ("Content Too Large", "The request is too large."),
    414: ("URI Too Long", "The address is too long."),
    415: ("Unsupported Media Type", "The body is of another kind."),
    422: ("Unprocessable Content", "Something of this request is not accepted."),
    429: ("Too Many Requests", "Try again later."),
    500: ("Internal Server Error", "Something went wrong here. It has been logged."),
    503: (
        "Service Unavailable",
        (
            "Tidy cannot reach its data at the moment. Try again later; if the request was to"
            " change something, look first whether it did."
        ),
    ),
}


def code_of(status: int) -> str:
    """Return what programs can tell a status by: its name."""
    return title_of(status).lower().replace(" ", "-")


def title_of(status: int) -> str:
    """Return the name of a status."""
    return STATUSES[status][0] if status in STATUSES else HTTPStatus(status).phrase


def problem(
    status: int, code: str = "", detail: str = "", *, errors: Iterable[FieldError] = ()
) -> HttpResponse:
    """Return the answer to a request that is refused or has failed.

    Args:
        status: of HTTP.
        code: what programs can tell the reason by; by default, the name of the status.
        detail: what happened, for people; by default, what the status means.
        errors: of single fields.
    """
    body = {
        "type": "about:blank",
        "title": title_of(status),
        "status": status,
        "code": code or code_of(status),
        "detail": detail or STATUSES.get(status, ("", ""))[1],
    }
    if errors := list(errors):
        body["errors"] = errors
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE)


def as_problem(response: HttpResponse) -> HttpResponse:
    """Return an error that something else has answered, such as a page, as a problem.

    Its headers for whoever sent the request stay.
    """
    answer = problem(response.status_code)
    for name in KEPT_HEADERS:
        if name in response.headers:
            answer.headers[name] = response.headers[name]
    if hasattr(response, "_has_been_logged"):  # Django's mark, which it looks for.
        answer._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    return answer
