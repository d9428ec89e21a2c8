"""The document of the API (OpenAPI 3.1): what ninja says of it, and what holds for all operations.

It stands as a file beside this one. `python -m tests.openapi` is part of `make lint`, and says when
the file is not what the operations are.
"""

import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from project.api.problems import CONTENT_TYPE, PREFIX
from project.api.site import api
from project.api.words import ABOUT, SECURITY, TAGS

FILE = Path(__file__).with_name("openapi.json")

PROBLEM = {
    "type": "object",
    "description": "An error, as RFC 9457 has it.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "The name of the status."},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "By what programs tell the reason."},
        "detail": {"type": "string", "description": "What happened, for people."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["place", "field", "detail"],
                "properties": {
                    "place": {"enum": ["body", "query", "path", "header"]},
                    "field": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

#: When each status comes.
WHEN = {
    400: "The request is malformed, or has a body where none is taken.",
    401: "There is no valid token, and no session.",
    403: "The token may only read, a session lacks the token against forgery, or the request came"
    " by http to a site of https.",
    404: "There is no such thing, or it is another person's.",
    409: "It cannot be done as things are.",
    410: "The todo of the first request with this Idempotency-Key has left the list.",
    411: "The body was sent in chunks, without its length.",
    412: "It has been changed since you read it.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "A field or parameter is not accepted; `errors` names each.",
    429: "Too many requests: wait for as long as Retry-After says.",
    500: "Something went wrong here.",
    503: "The data cannot be reached, or somebody is in the way: try again.",
}

#: Headers of answers.
ETAG = {
    "description": "How it is now, for If-Match.",
    "required": True,
    "schema": {"type": "string"},
}
LOCATION = {
    "description": "The address of the todo.",
    "required": True,
    "schema": {"type": "string"},
}
REPLAYED = {
    "description": "true: an earlier request with this key has created it.",
    "schema": {"enum": ["true", "false"]},
}
RETRY_AFTER = {"description": "Seconds.", "schema": {"type": "string"}}
AUTHENTICATE = {"description": "Bearer.", "required": True, "schema": {"const": "Bearer"}}

#: What can be asked for with the id of a todo.
ON_LIST = ("getTodo", "changeTodo", "completeTodo", "reopenTodo", "deleteTodo")
IN_TRASH = ("getTrashedTodo", "restoreTodo", "purgeTodo")


def by_id(operations: Iterable[str], todo_id: str) -> dict[str, Any]:
    """Return links to operations on one todo; `todo_id` says where an answer has its id."""
    return {name: {"operationId": name, "parameters": {"todo_id": todo_id}} for name in operations}


#: Answers that lead on: by what they give, other operations can be asked for.
LINKS = {
    ("createTodo", "201"): by_id(ON_LIST, "$response.body#/id"),
    ("deleteTodo", "204"): by_id(IN_TRASH, "$request.path.todo_id"),
    ("restoreTodo", "200"): by_id(ON_LIST, "$response.body#/id"),
    ("clearCompleted", "200"): {
        "restoreSelection": {
            "operationId": "restoreSelection",
            "requestBody": {"cleared_at": "$response.body#/cleared_at"},
        }
    },
}


def document() -> dict[str, Any]:
    """Return the document, as it is to be."""
    made: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema(path_prefix=f"{PREFIX}v1")))
    made["info"]["description"] = ABOUT
    made["servers"] = [{"url": "/"}]
    made["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    made["components"]["schemas"]["Problem"] = PROBLEM
    for name, text in SECURITY.items():
        made["components"]["securitySchemes"][name]["description"] = text
    made["components"]["responses"] = {
        f"Problem{status}": answer(status, words) for status, words in WHEN.items()
    }
    for path, method, operation in operations(made):
        describe(path, method, operation)
    return made


def operations(made: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each operation, with its address and method."""
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def answer(status: int, words: str) -> dict[str, Any]:
    """Return how a document describes an error."""
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    described: dict[str, Any] = {"description": words, "content": content}
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        described["headers"] = {"Retry-After": RETRY_AFTER}
    if status == HTTPStatus.PRECONDITION_FAILED:
        described["headers"] = {"ETag": ETAG}
    if status == HTTPStatus.UNAUTHORIZED:
        described["headers"] = {"WWW-Authenticate": AUTHENTICATE}
    return described


def describe(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add what holds for all operations of a kind."""
    responses = operation["responses"]
    for status in sorted(statuses(path, method, operation)):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    for status, response in responses.items():
        if status in {"200", "201"}:
            headers = dict(headers_of(operation))
            if headers:
                response["headers"] = headers
        if links := LINKS.get((operation["operationId"], status)):
            response["links"] = links


def statuses(path: str, method: str, operation: dict[str, Any]) -> Iterator[int]:
    """Yield with which errors an operation may answer."""
    yield from (400, 401, 403, 411, 413, 422, 429, 500, 503)
    if method != "get":
        yield 409
    if "{" in path or path.endswith("/token"):
        yield 404
    if "requestBody" in operation:
        yield 415
    if any(parameter["name"] == "If-Match" for parameter in operation["parameters"]):
        yield 412
    if operation["operationId"] == "createTodo":
        yield 410


def headers_of(operation: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the headers of an operation's answer."""
    gives_one = operation["responses"].get("200") or operation["responses"].get("201")
    if any(f"/{name}'" in str(gives_one) for name in ("TodoOut", "PreferencesOut")):
        yield "ETag", ETAG
    if operation["operationId"] == "createTodo":
        yield "Location", LOCATION
        yield "Idempotency-Replayed", REPLAYED


def written() -> str:
    """Return the document as its file has it."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"
