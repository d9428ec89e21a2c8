"""Headers by which clients make sure that they change what they have seen."""

import re

from django.http import HttpRequest, HttpResponse
from django.utils.http import parse_etags

from accounts.api.errors import Refusal, Refused

#: Tags as they were given, or any state. Without commas in them: at these, Django parts the tags.
TAG = r'(W/)?"[!#-+\x2d-~]*"'
TAGS = rf"^(\*|{TAG}([ \t]*,[ \t]*{TAG})*)$"

#: The header, for the document.
IF_MATCH = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "format": "entity-tags", "pattern": TAGS},
            "description": "The ETag that you have seen: if it has another one now, nothing is"
            " changed, and the answer is 412.",
        }
    ]
}


def expected(request: HttpRequest) -> set[str] | None:
    """Return the states of which a request expects one; None if it takes what is there.

    A tag comes back as a weak one if the answer was compressed: then it names the same state.

    Raises:
        Refused: the header has something else than tags.
    """
    given = request.headers.get("If-Match", "*").strip()
    if not re.fullmatch(TAGS, given):
        raise Refused(Refusal.BAD_IF_MATCH, "If-Match", place="header")
    if given == "*":
        return None
    return {tag.removeprefix("W/").strip('"') for tag in parse_etags(given)}


def check(request: HttpRequest, state: str) -> None:
    """Refuse a request that expects another state than this."""
    states = expected(request)
    if states is not None and state not in states:
        raise Refused(Refusal.CHANGED, state=state)


def say_state(response: HttpResponse, state: str) -> None:
    """Tell the client what to expect the next time."""
    response.headers["ETag"] = etag(state)


def etag(state: str) -> str:
    """Return what names a state, as a header has it."""
    return f'"{state}"'
