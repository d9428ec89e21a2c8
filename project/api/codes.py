"""Every `code` of a problem: by what programs tell why they were refused."""

from collections.abc import Iterator

from accounts.api.errors import STATUSES
from project.api.errors import NOT_JSON
from project.api.problems import HTTPS_REQUIRED, INVALID, NO_BODY, code_of

#: What has a code of its own, besides what is refused for a reason.
FURTHER = (
    (400, "malformed", NOT_JSON),
    (400, *NO_BODY),
    (403, *HTTPS_REQUIRED),
    (422, *INVALID),
)

#: The statuses that say all: their code is their name.
BY_NAME = (400, 401, 404, 405, 409, 411, 413, 415, 429, 500, 503)


def all_codes() -> Iterator[tuple[int, str, str]]:
    """Yield each `code` with its status before it, and what it says after it."""
    yield from FURTHER
    for refusal, status in STATUSES.items():
        yield status, refusal.value, str(refusal.label)
    for status in BY_NAME:
        yield status, code_of(status), ""
