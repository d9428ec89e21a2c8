"""The log of every process: one event per line, as `key=value`, on standard error.

Events of structlog's loggers and of the standard library's (Django, Dramatiq, APScheduler) have
the same form. In development, a terminal shows colors. Text from outside can neither forge a line
nor control a terminal: control characters are written as escapes.
"""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from project.paths import without_secrets

_logfmt = structlog.processors.LogfmtRenderer(
    key_order=["timestamp", "level", "event", "logger"], bool_as_flag=False
)


def logging_config(*, colors: bool) -> dict[str, Any]:
    """Set structlog up and return the matching LOGGING setting.

    Args:
        colors: write for people if standard error is a terminal.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    drop_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    renderer: list[structlog.types.Processor]
    if colors and sys.stderr.isatty():
        renderer = [escape_values, structlog.dev.ConsoleRenderer()]
    else:
        renderer = [structlog.processors.format_exc_info, render_line]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [drop_meta, *renderer],
            },
        },
        "filters": {
            "without_static": {"()": lambda: is_told},
            "without_secrets": {"()": lambda: without_secrets},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["without_secrets"],
            }
        },
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            # Without this, Django's own configuration writes its lines a second time.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {
                "handlers": [],
                "level": "INFO",
                "propagate": True,
                "filters": ["without_static"],
            },
            # It logs every job that runs on time.
            "apscheduler": {"level": "WARNING"},
        },
    }


def is_told(record: logging.LogRecord) -> bool:
    """Leave out the files of each page that `manage.py dev` serves, which scroll all else away."""
    request, status = (*(record.args or ()), "", "")[:2]
    return not (str(request).startswith("GET /static/") and str(status) in {"200", "304"})


def escape(text: str) -> str:
    """Return `text` with each unprintable character as an escape, such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def escape_values(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Escape the strings of an event (a structlog processor)."""
    return {
        key: escape(value) if isinstance(value, str) else value for key, value in event_dict.items()
    }


def render_line(logger: WrappedLogger, method: str, event_dict: EventDict) -> str:
    """Return an event as one line of `key=value` (a structlog processor)."""
    return escape(_logfmt(logger, method, event_dict))
