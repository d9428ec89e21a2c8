"""Carries a request's id and span to the worker: into messages, and into lines of an attempt."""

from contextlib import ExitStack
from threading import local
from typing import Any

from dramatiq import Broker, Message, MessageProxy, Middleware
from structlog.contextvars import bind_contextvars, unbind_contextvars

from tasks.engine.runs.context import Context, given_context
from tasks.engine.tracing import tracing

#: What lines of an attempt have; `run` and `attempt` are bound once they are known.
BOUND = ("request_id", "task", "run", "attempt")


class _Current(local):
    span: ExitStack | None = None


class ContextCarrier(Middleware):
    """The first middleware: what it opens before all others, it closes after them."""

    def __init__(self) -> None:
        self._current = _Current()

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:  # noqa: ARG002
        """Add what a message does not have yet, as those of `actor.send()` do not."""
        if "delivery" not in message.options:
            for name, value in given_context().options.items():
                message.options.setdefault(name, value)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002
        self._end(None)
        context = Context.sent_in(message.options)
        bind_contextvars(task=message.actor_name)
        if context.request_id:
            bind_contextvars(request_id=context.request_id)
        span = ExitStack()
        span.enter_context(tracing().attempt(message.actor_name, context.trace_parent))
        self._current.span = span

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002
        message: MessageProxy,  # noqa: ARG002
        *,
        result: Any | None = None,  # noqa: ARG002
        exception: BaseException | None = None,
    ) -> None:
        self._end(exception)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002
        self._end(None)

    def _end(self, exception: BaseException | None) -> None:
        """End this thread's span, if it has one, and forget what its lines have."""
        span, self._current.span = self._current.span, None
        try:
            if span is not None:
                span.__exit__(type(exception) if exception else None, exception, None)
        finally:
            unbind_contextvars(*BOUND)
