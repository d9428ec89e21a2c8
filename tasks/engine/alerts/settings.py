"""The settings of alerts, all of which are optional: without a channel there are none.

| setting | what |
|---|---|
| TASKS_ALERT_EMAILS | who gets a mail, by the site's default mailer |
| TASKS_ALERT_WEBHOOK_URL | where a webhook goes |
| TASKS_ALERT_WEBHOOK_SECRET | what it is signed with |
| TASKS_ALERT_CHECK_IN_URL | the dead man's switch, which gets a GET after a successful night |
| TASKS_ALERT_CHECK_IN_TASKS | the tasks whose latest slots must have succeeded for that |
| TASKS_ALERT_PRIVATE_TARGETS | whether the two addresses may lead to private networks |
| TASKS_ALERT_SITE_URL | the site's own address, which alerts name |
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Self

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from tasks.engine.alerts.targets import parse_target

MOST_EMAILS = 20

#: Of a secret: how long it must be, and how many different characters it must have.
MIN_SECRET_CHARACTERS = 32
MIN_SECRET_VARIETY = 10


@dataclass(frozen=True, kw_only=True)
class AlertSettings:
    """What the settings say, by their names after `TASKS_ALERT_`."""

    emails: tuple[str, ...] = ()
    webhook_url: str = field(default="", repr=False)
    webhook_secret: str = field(default="", repr=False)
    check_in_url: str = field(default="", repr=False)
    check_in_tasks: tuple[str, ...] = ()
    private_targets: bool = False
    site_url: str = ""

    @classmethod
    def read(cls) -> Self:
        """Return those of the site."""
        names = {each.name: f"TASKS_ALERT_{each.name.upper()}" for each in fields(cls)}
        given = {
            name: getattr(settings, setting)
            for name, setting in names.items()
            if hasattr(settings, setting)
        }
        for name in ("emails", "check_in_tasks"):
            given[name] = tuple(given.get(name, ()))
        return cls(**given)


def check_alerts(**_: Any) -> Iterator[CheckMessage]:
    """Check the settings of alerts, as one of Django's system checks."""
    for name, fault in faults_of(AlertSettings.read()):
        yield Error(f"TASKS_ALERT_{name.upper()} {fault}", id="tasks.E007")


def faults_of(given: AlertSettings) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with which setting; never what a setting says."""
    if len(given.emails) > MOST_EMAILS:
        yield "emails", f"must be {MOST_EMAILS} addresses or fewer."
    if not all(map(is_email, given.emails)):
        yield "emails", "must be addresses such as ops@example.org."
    for name in ("webhook_url", "check_in_url"):
        if url := getattr(given, name):
            try:
                parse_target(url)
            except ValueError as error:
                yield name, str(error)
    if given.webhook_secret and not given.webhook_url:
        yield "webhook_secret", "is set, but the address of a webhook is not."
    if given.webhook_url and is_weak(given.webhook_secret):
        yield (
            "webhook_secret",
            f"must have {MIN_SECRET_CHARACTERS} characters or more, and no simple pattern.",
        )
    if given.check_in_url and not given.check_in_tasks:
        yield "check_in_tasks", "must name a task."


def is_email(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def is_weak(secret: str) -> bool:
    return len(secret) < MIN_SECRET_CHARACTERS or len(set(secret)) < MIN_SECRET_VARIETY
