"""Reads settings from the environment, and writes the `.env` of `manage.py dev`.

An error names the variable and says what is wrong with its value. It never repeats an address,
which may hold a password.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import dj_database_url
import redis
from django.core.management.utils import get_random_secret_key
from environs import EnvValidationError, ValidationError

SQLITE_OPTIONS = {
    # Take the write lock when a transaction begins. On SQLite, a transaction that reads first and
    # writes later cannot wait for that lock: it fails at once, whatever the time-out.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}

#: For libpq. Nothing else ends the wait for a server that has gone silent, as when the network is
#: cut: an actor's time limit cannot interrupt a thread that waits in libpq.
POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,  # seconds
    # A silent connection is probed after 10 s and dropped 15 s later.
    "keepalives": 1,
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    # The same for data that was sent and is not acknowledged.
    "tcp_user_timeout": 20_000,  # milliseconds
}
PROXIES_UNKNOWN = (
    "TRUSTED_PROXIES: must be set while DJANGO_HTTPS is on, as X-Forwarded-Proto and -For are"
    " believed only then: 1 behind one proxy that ends TLS, 0 if gunicorn does so itself."
)
#: The port of each kind of connection to a mail server, unless its address names one.
SMTP_PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
SMTP_TIMEOUT_SECONDS = 10
#: How long a statement waits for a lock, unless its transaction sets another time-out.
LOCK_TIMEOUT_MILLISECONDS = 10_000


def known_time_zone(value: str) -> None:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValidationError(f"{value!r} is not a time zone such as Europe/Berlin.") from error


def broker_address(value: str) -> None:
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValidationError("must begin with redis://, rediss:// or unix://.")
    try:
        redis.ConnectionPool.from_url(value)  # Parses it; does not connect.
    except ValueError as error:
        raise ValidationError("is not a valid address.") from error


def site_address(value: str) -> None:
    if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
        raise ValidationError("must be an address such as https://tidy.example.org.")


def mailer_from(url: str) -> dict[str, Any] | None:
    """Return an entry of Django's MAILERS, or raise ValidationError.

    Args:
        url: `smtp://user:password@host:port`, which uses STARTTLS; `smtps://` for TLS from the
            beginning, `smtp+plain://` for no encryption at all; empty for no server.
    """
    if not url:
        return None
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ValidationError("has an invalid port.") from error
    if parts.scheme not in SMTP_PORTS or not parts.hostname:
        raise ValidationError("must begin with smtp://, smtps:// or smtp+plain:// and name a host.")
    return {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": {
            "host": parts.hostname,
            "port": port or SMTP_PORTS[parts.scheme],
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "use_tls": parts.scheme == "smtp",
            "use_ssl": parts.scheme == "smtps",
            "timeout": SMTP_TIMEOUT_SECONDS,
        },
    }


def database_from(url: str) -> dj_database_url.DBConfig:
    """Return an entry of Django's DATABASES, or raise ValidationError.

    Args:
        url: `postgresql://user:password@host:port/name` or `sqlite:////absolute/path`.
    """
    if not url.startswith(("postgres://", "postgresql://", "sqlite://")):
        raise ValidationError("must begin with postgresql:// or sqlite://.")
    try:
        database = dj_database_url.parse(url)
    except ValueError as error:
        raise ValidationError("is not a valid address.") from error
    if database["ENGINE"].endswith("sqlite3"):
        options = {**SQLITE_OPTIONS, **database.get("OPTIONS", {})}
        return {**database, "ENGINE": "project.sqlite", "OPTIONS": options}
    # A thread of a worker or the web keeps its connection for a minute. The connection is checked
    # before it is used again, so a restart of the database fails no request.
    options = {**POSTGRESQL_OPTIONS, **database.get("OPTIONS", {})}
    # If an option is set twice, the last value counts: the address's own.
    ours = f"-c lock_timeout={LOCK_TIMEOUT_MILLISECONDS}"
    options["options"] = " ".join(filter(None, [ours, options.get("options")]))
    return {**database, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, "OPTIONS": options}


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
