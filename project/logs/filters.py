"""What libraries say in their lines, without what people wrote and without secrets.

Each function is a filter of the log's handlers: it keeps a record, perhaps changed, or drops it.
"""

import logging
import re
from time import monotonic
from typing import Any
from urllib.parse import unquote

from django.http import HttpRequest
from dramatiq import Message, MessageProxy

from project.logs.paths import FAILED, as_shown, shown_method, shown_path

#: An address's host, and the rest of it, which may be the link of a mail.
ADDRESS = re.compile(r"(\w+://[^\s/?#]+)[/?#]\S*")

#: What gunicorn says of a request that it cannot read, and then quotes of it.
UNREADABLE = re.compile(r"""(Invalid request from ip=\S*: [^:'"]*).*""", re.DOTALL)

#: What a request begins with: the method, perhaps a host, and the path; perhaps a query follows.
REQUEST_LINE = re.compile(r"(\w+) (?:\w+://[^\s/]*)?(/[^\s?#]*)\S*", re.ASCII)

#: How its lines begin that name a method or an address after that.
NAMING = re.compile("Error handling request|WSGI app sent body bytes on a no-body response")

#: Between two lines about a collector of traces that is away.
COLLECTOR_SECONDS = 60.0


def without_static(record: logging.LogRecord) -> bool:
    """Leave out the files of each page that `manage.py dev` serves, which scroll all else away."""
    request, status = (*(record.args or ()), "", "")[:2]
    return not (str(request).startswith("GET /static/") and str(status) in {"200", "304"})


def without_paths(record: logging.LogRecord) -> bool:
    """Have Django's own lines name a request as it is shown, and an address by its host.

    What the client did wrong is one warning: no traceback tells more about it.
    """
    request = getattr(record, "request", None)
    if not record.name.startswith("django.") or not isinstance(request, HttpRequest):
        return True
    if isinstance(record.args, tuple):
        record.args = tuple(shown(arg, request) for arg in record.args)
    if getattr(record, "status_code", FAILED) < FAILED:
        record.exc_info = record.exc_text = None
        if record.levelno > logging.WARNING:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def without_targets(record: logging.LogRecord) -> bool:
    """Have the lines of Django's own server name a request as it is shown, without its query."""
    if isinstance(record.args, tuple):
        record.args = tuple(REQUEST_LINE.sub(shown_line, str(arg)) for arg in record.args)
    return True


def shown_line(line: re.Match[str]) -> str:
    """Return the first line of a request, as it may be shown."""
    method, path = line.groups()
    return f"{method} {as_shown(unquote(path))}"


def shown(arg: object, request: HttpRequest) -> object:
    """Return what a line says of a request, as it may be shown."""
    if arg == request.method:
        return shown_method(request)
    return shown_path(request) if str(arg).startswith("/") else without_addresses(arg)


def without_addresses(value: object) -> object:
    """Return a text with no more of the addresses in it than their hosts; anything else as is."""
    return ADDRESS.sub(r"\1/...", value) if isinstance(value, str) else value


def without_arguments(record: logging.LogRecord) -> bool:
    """Have Dramatiq's lines name a message by its task and its id: its arguments may be texts."""
    if isinstance(record.args, tuple):
        record.args = tuple(map(named, record.args))
    return True


def named(value: object) -> object:
    """Return a message's task and id; anything else as it is."""
    if isinstance(value, Message | MessageProxy):
        return f"{value.actor_name} {value.message_id}"
    return value


def without_request_lines(record: logging.LogRecord) -> bool:
    """Have gunicorn's lines quote nothing of a request: neither its address nor its headers.

    Those for debugging quote all of it: they are left out, whatever its `--log-level`.
    """
    if record.name == "gunicorn.error":
        if record.levelno < logging.INFO:
            return False
        if found := NAMING.match(str(record.msg)):
            record.msg, record.args = found[0], ()
        record.msg = UNREADABLE.sub(r"\1", str(record.msg))
    return True


class Seldom:
    """Tells that the collector of traces is away, and no more of it for a minute.

    What the exporter says names each attempt, and addresses.
    """

    def __init__(self) -> None:
        self._next_at = float("-inf")

    def __call__(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry.") or record.levelno < logging.WARNING:
            return True
        if monotonic() < self._next_at:
            return False
        self._next_at = monotonic() + COLLECTOR_SECONDS
        values: dict[str, Any] = {"levelno": logging.WARNING, "levelname": "WARNING", "args": ()}
        values |= {"msg": "traces not delivered", "exc_info": None, "exc_text": None}
        record.__dict__.update(values)
        return True
