"""Why the API refuses a request, beside what services raise."""

from typing import Literal

from django.db.models import TextChoices

type Place = Literal["query", "header"]


class Refusal(TextChoices):
    """A reason that programs can tell from others: the `code` of a problem."""

    READ_ONLY_TOKEN = "read-only-token", "This token may only read. Make one that may change."
    CSRF = "csrf", "The header X-CSRFToken is missing or wrong; a session needs it for changes."
    CHANGED = "changed", "It has been changed since you read it. Read it again."
    LIST_FULL = "list-full", "The list holds no more todos. Delete some first."
    KEY_REUSED = "key-reused", "This Idempotency-Key was sent with another request."
    GONE = "gone", "The first request with this Idempotency-Key created a todo that has left."
    BAD_IF_MATCH = "bad-if-match", "If-Match is no ETag: send it as it was, with its quotes."
    BAD_CURSOR = "bad-cursor", "This cursor is none that a list has returned."
    UNKNOWN_PARAMETER = "unknown-parameter", "The address has a parameter that is not known."


#: With which status of HTTP each comes.
STATUSES = {
    Refusal.READ_ONLY_TOKEN: 403,
    Refusal.CSRF: 403,
    Refusal.CHANGED: 412,
    Refusal.LIST_FULL: 409,
    Refusal.KEY_REUSED: 422,
    Refusal.GONE: 410,
    Refusal.BAD_IF_MATCH: 422,
    Refusal.BAD_CURSOR: 422,
    Refusal.UNKNOWN_PARAMETER: 422,
}


class Refused(Exception):  # noqa: N818  (it says what happened, as Django's own do)
    """A request is refused.

    Attributes:
        refusal: why.
        fields: the names of what is at fault.
        place: where these are: `query` or `header`.
        state: how what was to be changed is now; empty if that was not looked at.
    """

    def __init__(
        self, refusal: Refusal, *fields: str, place: Place = "query", state: str = ""
    ) -> None:
        super().__init__(refusal)
        self.refusal = refusal
        self.fields = fields
        self.place = place
        self.state = state


class TooManyRequests(Exception):  # noqa: N818  (as above)
    """Somebody has to wait for `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds
