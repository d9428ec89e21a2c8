"""How every process of Tidy writes its log: one event a line, `key=value`, on standard error.

Both structlog's loggers and the standard library's (Django, Dramatiq, APScheduler) come out in the
same form. A terminal in development gets colours. Text from outside cannot start a line of its
own: the renderer escapes line breaks and quotes.
"""

import sys
from typing import Any

import structlog


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
        renderer = [structlog.dev.ConsoleRenderer()]
    else:
        renderer = [
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event", "logger"], bool_as_flag=False
            ),
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
