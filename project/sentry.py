"""Errors to Sentry, or what speaks its protocol: each error of the log, without what it is about.

This module is imported only where a DSN is set (`project/logs/config.py`). An event has an error's
type and its traceback, without values, and names the request and the run.
"""

import logging
from typing import Any, Literal, cast

import sentry_sdk
from sentry_sdk.types import Event, Hint
from structlog.contextvars import get_contextvars

from project.logs.lines import error_of

#: What an event is found by.
TAGS = ("request_id", "run", "task", "trace_id")

#: What an event may have. Sentry's client would add what it finds, and more with each version.
KEPT = {
    *("event_id", "timestamp", "level", "logger", "platform", "environment", "release", "tags"),
    *("message", "exception", "server_name", "sdk"),
}

#: How long a process that ends waits for its last events.
FLUSH_SECONDS = 2.0

#: Their own troubles are not for Sentry.
NOT_SENT = ("sentry_sdk", "opentelemetry", "urllib3")


class SentryHandler(logging.Handler):
    """Sends errors; `flush` waits for the last ones, as logging has it when a process ends."""

    def __init__(self, dsn: str) -> None:
        super().__init__(logging.ERROR)
        sentry_sdk.init(
            dsn,
            # They would send what they find of requests, messages, statements and arguments.
            default_integrations=False,
            auto_enabling_integrations=False,
            before_send=without_texts,
            include_local_variables=False,
            max_breadcrumbs=0,
            max_request_body_size="never",
            send_default_pii=False,
            auto_session_tracking=False,
        )

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(NOT_SENT):
            return
        event = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        known = {**get_contextvars(), **event}
        error = error_of(record.exc_info or event.get("exc_info"))
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("logger", record.name)
            for name in TAGS:
                if name in known:
                    scope.set_tag(name, str(known[name]))
            critical = record.levelno >= logging.CRITICAL
            level: Literal["fatal", "error"] = "fatal" if critical else "error"
            scope.set_level(level)
            if error is None:
                sentry_sdk.capture_message(str(event["event"]), level)
            else:
                sentry_sdk.capture_exception(error)

    def flush(self) -> None:
        sentry_sdk.flush(FLUSH_SECONDS)


def without_texts(event: Event, _hint: Hint) -> Event:
    """Return an event without the messages of its errors, and without what it need not have."""
    kept = cast("dict[str, Any]", {key: value for key, value in event.items() if key in KEPT})
    for error in kept.get("exception", {}).get("values", ()):
        error["value"] = ""
        for frame in error.get("stacktrace", {}).get("frames", ()):
            frame.pop("vars", None)
    return cast("Event", kept)
