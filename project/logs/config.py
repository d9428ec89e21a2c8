"""The log of every process: one event per line, on standard error.

Events of structlog's loggers and of the standard library's (Django, gunicorn, Dramatiq,
APScheduler, Python's warnings) have the same form. In production that is JSON; in development
`key=value`, and colors at a terminal.
"""

import logging
import sys
from typing import Any

import structlog

from project.logs import filters
from project.logs.lines import escape_values, render_json, render_logfmt, tell_error

#: The formats of lines, by their names in LOG_FORMAT.
FORMATS = {"json": render_json, "logfmt": render_logfmt}


def logging_config(
    *, form: str = "json", development: bool = False, sentry_dsn: str = ""
) -> dict[str, Any]:
    """Set structlog up and return the matching LOGGING setting.

    Args:
        form: a key of `FORMATS`.
        development: write for the people who wrote the code: colors if standard error is a
            terminal, and the messages of all errors.
        sentry_dsn: where errors are sent; empty for nowhere.
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
    logging.captureWarnings(capture=True)
    drop_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    on_all = {
        "without_paths": filters.without_paths,
        "without_arguments": filters.without_arguments,
        "without_request_lines": filters.without_request_lines,
    }
    handlers: dict[str, dict[str, Any]] = {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": [*on_all, "seldom"],
        }
    }
    if sentry_dsn:
        # By its name: its package is an extra.
        sentry = {"()": "project.sentry.SentryHandler", "dsn": sentry_dsn, "filters": [*on_all]}
        handlers["sentry"] = sentry
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [drop_meta, *renderer(form, development=development)],
            },
        },
        "filters": {
            "without_static": {"()": lambda: filters.without_static},
            "without_targets": {"()": lambda: filters.without_targets},
            "seldom": {"()": filters.Seldom},
            **{name: {"()": lambda one=one: one} for name, one in on_all.items()},
        },
        "handlers": handlers,
        "root": {"handlers": [*handlers], "level": "INFO"},
        "loggers": {
            # Without this, Django's own configuration writes its lines a second time.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {
                "handlers": [],
                "level": "INFO",
                "propagate": True,
                "filters": ["without_static", "without_targets"],
            },
            # It logs every job that runs on time.
            "apscheduler": {"level": "WARNING"},
            # It tells of each attempt to reach Sentry, or a collector of traces.
            "urllib3": {"level": "ERROR"},
        },
    }


def renderer(form: str, *, development: bool) -> list[structlog.types.Processor]:
    """Return what makes lines of events; see `logging_config`."""
    if not development:
        return [tell_error, FORMATS[form]]
    if form == "logfmt" and sys.stderr.isatty():
        # Not the tracebacks that `rich` would write, where it is installed: they hold values.
        plain = structlog.dev.plain_traceback
        return [escape_values, structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    return [structlog.processors.format_exc_info, FORMATS[form]]
