"""What an alert says, as a mail and as a webhook."""

import os
import socket
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.urls import NoReverseMatch, reverse

from tasks.engine.alerts.settings import AlertSettings
from tasks.engine.alerts.state import Line, Message
from tasks.engine.words import count, duration, moment

#: Characters of a line in a mail's subject.
SUBJECT_CHARACTERS = 80


def site_name(settings: AlertSettings) -> str:
    return urlsplit(settings.site_url).hostname or socket.gethostname()


def console_url(settings: AlertSettings) -> str:
    """Return where the console is; empty if the site's address or the page is not known."""
    try:
        path = reverse("background:overview")
    except NoReverseMatch:
        return ""
    return f"{settings.site_url.rstrip('/')}{path}" if settings.site_url else ""


def subject(message: Message, settings: AlertSettings) -> str:
    site = site_name(settings)
    if message.event == "test":
        return f"{site}: a test of the alerts"
    if message.event == "over":
        return f"{site}: all well again"
    first = message.lines[0].text
    if len(first) > SUBJECT_CHARACTERS:
        first = f"{first[: SUBJECT_CHARACTERS - 1]}…"
    return f"{site} {'still ' if message.event == 'more' else ''}needs attention: {first}"


def body(message: Message, settings: AlertSettings) -> str:
    """Return the text of a mail."""
    console = console_url(settings)
    paragraphs = [
        *introduction(message, settings),
        f"The console: {console}" if console else "",
        f"Sent by {socket.gethostname()}, process {os.getpid()}.",
    ]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def introduction(message: Message, settings: AlertSettings) -> list[str]:
    site = site_name(settings)
    if message.event == "test":
        return [f"This is a test of the alerts of {site}. Nothing needs attention because of it."]
    if message.event == "over":
        until = message.until or message.at
        lasted = duration(max(0.0, until - message.since))
        return [
            f"All is well at {site} since {at(until)}.",
            f"It needed attention from {at(message.since)} on, for {lasted}, at last because of:",
            bullets(message),
        ]
    still, what = ("still ", "What is new") if message.event == "more" else ("", "This")
    return [
        f"{site} {still}needs attention. {what} began at {at(message.since)}.",
        bullets(message),
        "One more mail says when all is well again.",
    ]


def bullets(message: Message) -> str:
    listed = [f"- {line.text} (since {at(line.since)})" for line in message.lines]
    if message.more:
        listed.append(f"- And {count(message.more, 'more line')}.")
    return "\n".join(listed)


def payload(message: Message, settings: AlertSettings) -> dict[str, Any]:
    """Return the content of a webhook. Receivers rely on the keys."""
    return {
        "id": message.id,
        "event": message.event,
        "episode": message.episode,
        "site": site_name(settings),
        "console": console_url(settings),
        "at": iso(message.at),
        "since": iso(message.since),
        "until": iso(message.until) if message.until else None,
        "text": subject(message, settings),
        "problems": [problem(line) for line in message.lines],
        "more_problems": message.more,
    }


def problem(line: Line) -> dict[str, str]:
    return {"text": line.text, "since": iso(line.since)}


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def at(seconds: float) -> str:
    return moment(datetime.fromtimestamp(seconds, UTC))
