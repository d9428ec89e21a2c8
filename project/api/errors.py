"""Answers what operations raise."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError
from ninja.errors import ValidationError as InvalidRequest

from accounts.api.errors import STATUSES, Refusal, Refused, TooManyRequests
from accounts.api.preconditions import say_state
from accounts.models import User
from project.api.problems import INVALID, FieldError, problem
from todos.services import KeyReused, TodoChanged, TodoNotFound, TooManyTodos

#: What is wrong with a field, by pydantic's name for it, where its own words are for programmers.
PLAIN_WORDS = {
    "extra_forbidden": "It is not known.",
    "missing": "It is missing.",
    "string_pattern_mismatch": "It is blank, or has characters that are not accepted.",
    "model_type": "Give an object.",
    "model_attributes_type": "Give an object.",
}

NOT_JSON = "The body is not JSON in UTF-8, or has a name twice."

#: What services raise, and what that means to who has called.
REFUSED: dict[type[Exception], Refusal] = {
    TodoChanged: Refusal.CHANGED,
    TooManyTodos: Refusal.LIST_FULL,
    KeyReused: Refusal.KEY_REUSED,
}


def answer_errors(api: NinjaAPI) -> None:
    """Have an API answer with problems."""
    answers: dict[type[Exception], Callable[..., HttpResponse]] = {
        InvalidRequest: invalid_request,
        ValidationError: invalid,
        Refused: refused,
        TooManyRequests: too_many_requests,
        AuthenticationError: unauthorized,
        User.DoesNotExist: unauthorized,  # They have been deleted since the request came in.
        HttpError: malformed,
        Http404: not_found,
        TodoNotFound: not_found,
        **dict.fromkeys(REFUSED, refused_by_service),
        Exception: failed,
    }
    for raised, answer in answers.items():
        api.add_exception_handler(raised, answer)


def invalid_request(_request: HttpRequest, error: InvalidRequest) -> HttpResponse:
    """Name each field that does not have the form that the document says."""
    return problem(422, *INVALID, errors=map(field_error, error.errors))


def field_error(error: dict[str, Any]) -> FieldError:
    """Return what pydantic says of a field, without what was sent."""
    place, *names = error["loc"]
    if place == "body" or (place == "query" and len(names) > 1):
        names = names[1:]  # The first is that of the operation's argument.
    detail = PLAIN_WORDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    return {"place": str(place), "field": ".".join(map(str, names)), "detail": detail}


def invalid(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Name each field that a service does not accept."""
    return problem(422, *INVALID, errors=service_errors(error))


def service_errors(error: ValidationError) -> Iterator[FieldError]:
    """Yield what a service says of each field."""
    if not hasattr(error, "error_dict"):
        yield {"place": "body", "field": "", "detail": " ".join(error.messages)}
        return
    for name, messages in error.message_dict.items():
        field = "" if name == NON_FIELD_ERRORS else name
        yield {"place": "body", "field": field, "detail": " ".join(messages)}


def refused(_request: HttpRequest, error: Refused) -> HttpResponse:
    """Say why, and which parameter is at fault."""
    detail = str(error.refusal.label)
    fields: list[FieldError] = [
        {"place": error.place, "field": name, "detail": detail} for name in error.fields
    ]
    response = refusing(error.refusal, fields)
    if error.state:
        say_state(response, error.state)
    return response


def refusing(refusal: Refusal, fields: Iterable[FieldError] = ()) -> HttpResponse:
    """Return the answer to a request that is refused for a reason that has a code."""
    return problem(STATUSES[refusal], refusal, str(refusal.label), errors=fields)


def refused_by_service(_request: HttpRequest, error: Exception) -> HttpResponse:
    """Say why a service has refused."""
    response = refusing(REFUSED[type(error)])
    if isinstance(error, TodoChanged):
        say_state(response, error.todo.state)
    return response


def too_many_requests(_request: HttpRequest, error: TooManyRequests) -> HttpResponse:
    """Say when to come again."""
    response = problem(429, detail=f"Too many requests. Try again in {error.seconds} s.")
    response.headers["Retry-After"] = str(error.seconds)
    return response


def unauthorized(_request: HttpRequest, _error: AuthenticationError) -> HttpResponse:
    """Say the same of every secret that opens nothing."""
    detail = "Send a token of yours, as Authorization: Bearer …; this one, if any, is not valid."
    response = problem(401, detail=detail)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def malformed(_request: HttpRequest, error: HttpError) -> HttpResponse:
    """Answer a body that cannot be read."""
    return problem(error.status_code, "malformed", NOT_JSON)


def not_found(_request: HttpRequest, _error: Exception) -> HttpResponse:
    """Say the same of what is not there and of what is another person's."""
    return problem(404)


def failed(_request: HttpRequest, error: Exception) -> HttpResponse:
    """Leave it to what answers for the whole site: it was in the way, is away, or is a mistake."""
    raise error
