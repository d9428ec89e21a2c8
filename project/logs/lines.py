"""How an event of the log becomes a line: as JSON, or as `key=value`.

Text from outside can neither forge a line nor control a terminal: control characters are escaped.
"""

import json
import sys
import traceback
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.template import TemplateDoesNotExist
from dramatiq.errors import ActorNotFound
from redis import exceptions as redis
from structlog.typing import EventDict, WrappedLogger

from tasks.engine.errors import OF_THE_SERVER, chain, error_line, error_name

#: Python and the libraries write their messages from names in code and from addresses of servers.
#: Any other message may quote what a person wrote.
WITHOUT_TEXTS = (
    AttributeError,
    NameError,
    UnboundLocalError,
    ImportError,
    ModuleNotFoundError,
    NotImplementedError,
    RecursionError,
    MemoryError,
    ZeroDivisionError,
    ImproperlyConfigured,
    TemplateDoesNotExist,
    ActorNotFound,
    redis.ConnectionError,
    redis.TimeoutError,
)

_logfmt = structlog.processors.LogfmtRenderer(
    key_order=["timestamp", "level", "event", "logger"], bool_as_flag=False
)

#: What comes first in a line of JSON.
_FIRST = ("timestamp", "level", "event", "logger")


def render_json(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> str:
    """Return an event as one line of JSON, in ASCII (a structlog processor)."""
    ordered = {key: event_dict.pop(key, None) for key in _FIRST} | dict(event_dict)
    line = json.dumps({str(key): value for key, value in ordered.items()}, default=str)
    return line.replace("\x7f", "\\u007f")  # The one control character that JSON leaves as it is.


def render_logfmt(logger: WrappedLogger, method: str, event_dict: EventDict) -> str:
    """Return an event as one line of `key=value` (a structlog processor)."""
    return escape(_logfmt(logger, method, event_dict))


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


def tell_error(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Replace an event's error by its traceback, without texts (a structlog processor)."""
    error = error_of(event_dict.pop("exc_info", None))
    if error is not None:
        event_dict["exception"] = told(error)
    return event_dict


def error_of(exc_info: Any) -> BaseException | None:
    """Return the error that logging calls `exc_info`: one, a tuple with one, or True."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return error_of(exc_info[1])
    return sys.exception() if exc_info else None


def told(error: BaseException) -> str:
    """Return an error with its traceback, after the errors that it follows from.

    A message that may quote what a person wrote is left out; a traceback has no values at all.
    """
    return "\n\n".join(
        "".join(["Traceback (most recent call last):\n", *traceback.format_tb(one.__traceback__)])
        + told_line(one)
        for one in reversed(list(chain(error)))
    )


def told_line(error: BaseException) -> str:
    """Return an error's type, and its message if that can quote nobody."""
    if type(error) in WITHOUT_TEXTS or isinstance(error, OF_THE_SERVER):
        return error_line(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{type(error).__name__}: {error.strerror}"
    return f"{error_name(error)}, whose message is not logged"
