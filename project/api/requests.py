"""What every request to the API has to be like, before an operation sees it."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from ninja.operation import Operation
from ninja.parser import Parser

from accounts.api.errors import Refusal
from project.api.errors import refusing
from project.api.problems import INVALID, NO_BODY, FieldError, problem

#: What clients send that always send JSON.
NOTHING = (b"", b"{}")

#: A body may have so many bytes: a description with each of its characters escaped.
MAX_BODY_BYTES = 128 * 1024

type View = Callable[..., HttpResponseBase]


class StrictParser(Parser):
    """Reads JSON as its standard has it: without NaN, and without a name that is there twice."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Return what a body says; ValueError or RecursionError if it is none."""
        return json.loads(
            request.body.decode(), object_pairs_hook=unique, parse_constant=no_constant
        )


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; ValueError if it has a name twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("A name is there twice.")
    return found


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON.")


def strictly(run: View) -> View:
    """Refuse a request that has what its operation does not take; answer all others in English."""
    operation: Operation = run.__self__  # type: ignore[attr-defined]
    sources = {model.__ninja_param_source__: model for model in operation.models}
    parameters = names_of(sources.get("query"))
    takes_body = "body" in sources

    @wraps(run)
    def answer(request: HttpRequest, **values: Any) -> HttpResponseBase:
        with translation.override("en"), timezone.override(timezone.get_current_timezone()):
            response = (
                refuse_body(request, takes_body=takes_body)
                or refuse_parameters(request, parameters)
                or run(request, **values)
            )
        response.headers["Content-Language"] = "en"  # Or that of pages would be given.
        return response

    return answer


def names_of(model: Any) -> set[str]:
    """Return the names of the parameters that a model takes."""
    return set(model.__ninja_flatten_map__) if model else set()


def refuse_body(request: HttpRequest, *, takes_body: bool) -> HttpResponseBase | None:
    if len(request.body) > MAX_BODY_BYTES:
        return problem(413, detail=f"A body has at most {MAX_BODY_BYTES:,} bytes.")
    if not takes_body and request.body.strip() not in NOTHING:
        return problem(400, *NO_BODY)
    charset = (request.content_params or {}).get("charset", "utf-8")
    is_json = request.content_type == "application/json" and charset.lower() == "utf-8"
    if takes_body and not is_json:
        return problem(415, detail="Send JSON, as Content-Type: application/json.")
    return None


def refuse_parameters(request: HttpRequest, known: set[str]) -> HttpResponseBase | None:
    given = dict(request.GET.lists())
    wrong = [name for name, values in given.items() if name not in known or len(values) > 1]
    if not wrong:
        return None
    errors: list[FieldError] = [
        {
            "place": "query",
            "field": name,
            "detail": "It is there twice." if name in known else "It is not known.",
        }
        for name in wrong
    ]
    if known.issuperset(wrong):
        return problem(422, *INVALID, errors=errors)
    return refusing(Refusal.UNKNOWN_PARAMETER, errors)
