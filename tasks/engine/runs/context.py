"""Where a run comes from: the request and the span that asked for it.

Both go from the row into each message, and from there to the lines of the worker.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from structlog.contextvars import get_contextvars

from tasks.engine.tracing import tracing

if TYPE_CHECKING:
    from tasks.engine.models import TaskRun

#: Anybody may have written a message: what is not like this is not logged.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What asked for a run.

    Attributes:
        request_id: as logs name the request; empty if there was none.
        trace_parent: the span, as W3C's traceparent; empty if there was none.
    """

    request_id: str = ""
    trace_parent: str = ""

    @classmethod
    def of(cls, run: "TaskRun") -> Self:
        return cls(request_id=run.request_id, trace_parent=run.trace_parent)

    @classmethod
    def sent_in(cls, options: Mapping[str, Any]) -> Self:
        """Return what a message's options say."""
        return cls(
            request_id=matching(REQUEST_ID, options.get("request_id")),
            trace_parent=matching(TRACE_PARENT, options.get("trace_parent")),
        )

    @property
    def columns(self) -> dict[str, str]:
        """The values of a row's columns."""
        return asdict(self)

    @property
    def options(self) -> dict[str, str]:
        """The options of a message."""
        return {name: value for name, value in self.columns.items() if value}


def given_context() -> Context:
    """Return the request and the span that this thread works for.

    The request is what structlog's context variables have as `request_id`.
    """
    request_id = matching(REQUEST_ID, get_contextvars().get("request_id"))
    return Context(request_id=request_id, trace_parent=tracing().parent())


def matching(pattern: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""
