"""How every process of Tidy writes its log: one event a line, `key=value`, on standard error.

Both structlog's loggers and the standard library's (Django, Dramatiq, APScheduler) come out in the
same form. A terminal in development gets colours. Text from outside can neither start a line of
its own nor steer a terminal: control characters are written as escapes.
"""

import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

_logfmt = structlog.processors.LogfmtRenderer(
    key_order=["timestamp", "level", "event", "logger"], bool_as_flag=False
)


def logging_config(*, colors: bool) -> dict[str, Any]:
    """Set structlog up and return the matching LOGGING setting.

    Args:
        colors: write for a person's eyes when standard error is a terminal.

    Returns:
        A dictionary for `logging.config.dictConfig`.
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
    renderer: list[structlog.types.Processor]
    if colors and sys.stderr.isatty():
        renderer = [escape_values, structlog.dev.ConsoleRenderer()]
    else:
        renderer = [
            structlog.processors.format_exc_info,
            render_line,
        ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *renderer,
                ],
            },
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            # Without this, Django's own configuration writes its lines a second time.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "level": "INFO", "propagate": True},
            # One line a job, on time, is noise; what goes wrong is not.
            "apscheduler": {"level": "WARNING"},
        },
    }


def escape(text: str) -> str:
    """Return `text` with each character that is not printable as an escape, such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def escape_values(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Escape every text of an event."""
    return {
        key: escape(value) if isinstance(value, str) else value for key, value in event_dict.items()
    }


def render_line(logger: WrappedLogger, method: str, event_dict: EventDict) -> str:
    """Write an event as one line of `key=value`."""
    return escape(_logfmt(logger, method, event_dict))
