"""Errors that quote what people wrote, in pages and in runs; and which extras a process loads."""

import sys
from typing import Any

import dramatiq
import structlog
from django.db import connection
from django.db.backends.signals import connection_created

from todos.services import TodoService

logger = structlog.get_logger(__name__)

#: Extras, and what they bring. (redis-py loads a part of OpenTelemetry where it is installed.)
EXTRAS = (
    *("sentry_sdk", "project.sentry", "project.tracing", "opentelemetry.sdk.trace"),
    *("opentelemetry.exporter", "opentelemetry.proto", "google.protobuf", "requests"),
)


def report_extras(**_: Any) -> None:
    """Say which extras this process has loaded, whenever it connects to the database."""
    loaded = [name for name in EXTRAS if name in sys.modules]
    logger.info("extras", loaded=loaded)


connection_created.connect(report_extras, weak=False)


def quote(text: str) -> None:
    """Raise an error whose message, or whose causes' messages, quote the text."""
    kind, _, _ = text.partition(" ")
    if kind == "value":
        int(text)
    elif kind == "key":
        dict[str, str]()[text]
    elif kind == "decode":
        bytes(f"{text} \xff", "latin-1").decode()
    elif kind == "row":
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE said (said text PRIMARY KEY)")
            cursor.execute("INSERT INTO said VALUES (%s), (%s)", [text, text])
    elif kind == "data":
        with connection.cursor() as cursor:
            cursor.execute("SELECT CAST(%s AS integer)", [text])
    elif kind == "cause":
        try:
            quote(text.replace("cause", "value"))
        except ValueError as error:
            raise RuntimeError(text) from error


@dramatiq.actor(actor_name="test.leak", queue_name="default", max_retries=0, time_limit=10_000)
def leak(*, text: str) -> dict[str, str]:
    """Quote it in an error, or else in the result."""
    quote(text)
    return {"text": text, text: text}


@dramatiq.actor(
    actor_name="test.leak_unrecorded", queue_name="default", max_retries=0, recorded=False
)
def leak_unrecorded(*, text: str) -> None:
    """Quote it in an error; no attempt is recorded."""
    quote(text)


create = TodoService.create


def create_or_quote(*, title: str, **values: Any) -> Any:
    """Create a todo, unless its title asks for an error; and send a message."""
    quote(title)
    leak.send(text=title)
    return create(title=title, **values)


TodoService.create = create_or_quote  # type: ignore[method-assign]
