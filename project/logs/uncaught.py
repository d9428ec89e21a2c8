"""Errors that nothing catches: a line of the log, as any other, instead of a bare traceback."""

import sys
import threading
from types import TracebackType

import structlog

logger = structlog.get_logger(__name__)


def log_uncaught() -> None:
    """Log what ends a thread or this process, unless something else does.

    Not at a terminal, where a person reads it.
    """
    if sys.stderr.isatty():
        return
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = log_end_of_process
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = log_end_of_thread


def log_end_of_process(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, Exception):
        logger.critical("uncaught error", exc_info=error)
    else:  # Ctrl-C.
        sys.__excepthook__(kind, error, trace)


def log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = ended.thread.name if ended.thread else ""
        logger.critical("uncaught error", thread=name, exc_info=ended.exc_value)
