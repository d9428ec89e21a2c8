"""Where a project adds the spans of its tracing; by default there are none, and no cost.

The engine knows no library for it. A project passes an object of its own to `use_tracing` when a
process starts.
"""

from contextlib import AbstractContextManager, nullcontext


class Tracing:
    """The spans around the engine's work. A parent is a span as W3C's `traceparent`, or empty."""

    def parent(self) -> str:
        """Return the span that this thread works in."""
        return ""

    def enqueueing(self, task: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a span in which a run's row is created."""
        return nullcontext()

    def publishing(self, task: str, parent: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a span in which a run's message is published, perhaps much later, by a relay."""
        return nullcontext()

    def attempt(self, task: str, parent: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a span in which a worker processes a message.

        When it ends, structlog's context variables have the `run` and its `attempt`, if there is
        one. The error that ends it may be one of Dramatiq's `Retry`, which is no failure.
        """
        return nullcontext()


_none = Tracing()
_used = _none


def use_tracing(used: Tracing | None) -> None:
    """Use an object for all spans of this process; None for no spans."""
    global _used  # noqa: PLW0603  (one for the process)
    _used = used or _none


def tracing() -> Tracing:
    """Return the object that this process uses."""
    return _used
