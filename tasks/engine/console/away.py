"""What the console says while the database cannot be read: since when, and how the broker is.

Who asks is not known then, so it says no more than a health probe does.
"""

from datetime import datetime

from django.http import HttpRequest
from django.template.loader import render_to_string
from redis.exceptions import ConnectionError, RedisError, TimeoutError  # noqa: A004

from tasks.engine.broker.waking import current_broker
from tasks.engine.console.requests import is_live


def what_is_known(request: HttpRequest, since: datetime | None) -> str:
    """Return a page; to HTMX, the part of it that changes.

    Args:
        since: since when the database has been away; None if that is not known yet.
    """
    context = {
        "title": "Background work",
        "since": since,
        "broker_answers": (fault := broker_fault()) is None,
        "broker_fault": fault,
        "was_post": request.method == "POST",
    }
    template = "tasks/console/away_live.html" if is_live(request) else "tasks/console/away.html"
    return render_to_string(template, context)


def broker_fault() -> str | None:
    """Return what is wrong with the broker, without its own words; None if it answers as it should.

    It is empty if there is no answer at all: a wrong password, say, is one.
    """
    try:
        current_broker().short_timeout_client.ping()
    except RedisError as error:
        return "" if type(error) in {ConnectionError, TimeoutError} else type(error).__name__
    return None
