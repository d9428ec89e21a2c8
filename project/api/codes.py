"""Every `code` of a problem: by what programs tell why they were refused."""

import json
from collections.abc import Iterator

from accounts.api.errors import Refusal
from project.api.errors import NOT_JSON, REFUSED
from project.api.problems import INVALID, problem

#: With which status each refusal comes, besides those of services, which `REFUSED` has.
REFUSALS = {
    Refusal.READ_ONLY_TOKEN: 403,
    Refusal.CSRF: 403,
    Refusal.GONE: 410,
    Refusal.BAD_CURSOR: 422,
    Refusal.BAD_IF_MATCH: 422,
    Refusal.UNKNOWN_PARAMETER: 422,
    **{refusal: status for status, refusal in REFUSED.values()},
}

#: What else has a code of its own.
FURTHER = (
    (400, "malformed", NOT_JSON),
    (400, "no-body", "This operation takes no body."),
    (422, *INVALID),
)

#: The statuses that say all: their code is their name.
BY_NAME = (400, 401, 404, 405, 409, 411, 413, 415, 429, 500, 503)


def all_codes() -> Iterator[tuple[int, str, str]]:
    """Yield each `code` with its status before it, and what it says after it."""
    yield from FURTHER
    for refusal, status in REFUSALS.items():
        yield status, refusal.value, str(refusal.label)
    for status in BY_NAME:
        yield status, json.loads(problem(status).content)["code"], ""
