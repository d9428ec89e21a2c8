"""Reads settings from the environment, and writes the `.env` of `manage.py dev`.

An error names the variable and says what is wrong with its value. It never repeats an address,
which may hold a password.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from django.core.management.utils import get_random_secret_key
from environs import EnvValidationError, FileAwareEnv, ValidationError

from project.addresses import HOST_NAME, check_characters, split_address
from tasks.engine.alerts.settings import AlertSettings, faults_of
from tasks.engine.broker.address import check_address
from tasks.engine.broker.clients import WrongAddress
from tasks.names import TaskName

PROXIES_UNKNOWN = (
    "TRUSTED_PROXIES: must be set while DJANGO_HTTPS is on, as X-Forwarded-Proto and -For are"
    " believed only then: 1 behind one proxy that ends TLS, 0 if gunicorn does so itself."
)
#: The port of each kind of connection to a mail server, unless its address names one.
SMTP_PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
SMTP_TIMEOUT_SECONDS = 10
#: The tasks that a successful night consists of, for the dead man's switch.
NIGHTLY = (TaskName.TODO_CLEANUP,)

BROKER_SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://")


class Environment(FileAwareEnv):
    """Names the variable of a file that is no text, or cannot be read, as well."""

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            return super()._get_value(env_key, default)
        except (OSError, UnicodeDecodeError):
            raise ValueError(
                f"The value of {env_key}_FILE must be the path of a text in UTF-8."
            ) from None


def known_time_zone(value: str) -> None:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValidationError(f"{value!r} is not a time zone such as Europe/Berlin.") from error


def broker_address(value: str) -> None:
    check_characters(value)
    if not value.startswith(BROKER_SCHEMES):
        schemes = f"{', '.join(BROKER_SCHEMES[:-1])} or {BROKER_SCHEMES[-1]}"
        raise ValidationError(f"must begin with {schemes}.")
    try:
        check_address(value)
    except ValueError as error:
        known = str(error) if isinstance(error, WrongAddress) else "is not a valid address."
        # Without its cause, which quotes the address.
        raise ValidationError(known) from None


def mailer_from(url: str) -> dict[str, Any] | None:
    """Return an entry of Django's MAILERS, or raise ValidationError.

    Args:
        url: `smtp://user:password@host:port`, which uses STARTTLS; `smtps://` for TLS from the
            beginning, `smtp+plain://` for no encryption at all; empty for no server.
    """
    if not url:
        return None
    parts = split_address(url)
    if parts.scheme not in SMTP_PORTS or not HOST_NAME.fullmatch(parts.hostname or ""):
        raise ValidationError("must begin with smtp://, smtps:// or smtp+plain:// and name a host.")
    if parts.path not in {"", "/"} or "?" in url:
        raise ValidationError("must end with the host or its port: percent-encode what is before.")
    return {
        "BACKEND": "project.mail.EmailBackend",
        "OPTIONS": {
            "host": parts.hostname,
            "port": parts.port or SMTP_PORTS[parts.scheme],
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "use_tls": parts.scheme == "smtp",
            "use_ssl": parts.scheme == "smtps",
            "timeout": SMTP_TIMEOUT_SECONDS,
        },
    }


def alerts_from(
    *,
    emails: Sequence[str],
    webhook_url: str,
    webhook_secret: str,
    check_in_url: str,
    private_targets: bool,
    sends_mail: bool,
) -> AlertSettings:
    """Return the settings of alerts, or raise ValueError with a line that names the variable."""
    alerts = AlertSettings(
        emails=tuple(email.strip() for email in emails),
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
        check_in_url=check_in_url,
        check_in_tasks=NIGHTLY,
        private_targets=private_targets,
    )
    for name, fault in faults_of(alerts):
        raise ValueError(f"ALERT_{name.upper()}: {fault}")
    if alerts.emails and not sends_mail:
        raise ValueError("ALERT_EMAILS: needs a mail server; set EMAIL_URL.")
    return alerts


def complaint(error: ValueError) -> str:
    """Return one line that names the variable and says what is wrong with its value."""
    if isinstance(error, EnvValidationError) and isinstance(error.error_messages, list):
        variable, _, _ = str(error).partition(" invalid: ")
        return f"{variable}: {' '.join(error.error_messages)}"
    return str(error)


def write_development_env(path: Path) -> None:
    """Write the `.env` of a development checkout, for its owner alone, unless it exists.

    It turns DEBUG on and holds a random secret key, so that `manage.py shell` and the other
    commands need no settings either.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(
            "# Written by `manage.py dev` for this checkout; .env.example names every setting.\n"
            "DJANGO_DEBUG=true\n"
            f"DJANGO_SECRET_KEY='{get_random_secret_key()}'\n"
        )
