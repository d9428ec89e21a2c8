"""Reads the environment: which values a setting accepts, and `manage.py dev`'s own `.env`.

An error names the variable and what is wrong with it; it never repeats an address, which may hold
a password.
"""

import os
from pathlib import Path
from zoneinfo import ZoneInfo

import dj_database_url
import redis
from django.core.management.utils import get_random_secret_key
from environs import EnvValidationError, ValidationError

SQLITE_OPTIONS = {
    # Take the write lock when a transaction begins. A transaction that reads first and then wants
    # to write cannot wait for the lock on SQLite: it fails at once, whatever the timeout.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}

#: For libpq. Nothing else ends a wait for a server that is gone without a word, as after a cut
#: network: no time limit reaches a thread that waits there.
POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,  # seconds
    # A silent connection is asked after 10 s whether it is still there, and given up after 15 more.
    "keepalives": 1,
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    # The same where something was sent and nobody confirms it.
    "tcp_user_timeout": 20_000,  # milliseconds
}
#: How long (ms) a statement waits for a lock, unless its transaction says otherwise.
LOCK_TIMEOUT = 10_000


def known_time_zone(value: str) -> None:
    """Refuse a name that the tz database does not have."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValidationError(f"{value!r} is no time zone such as Europe/Berlin.") from error


def broker_address(value: str) -> None:
    """Refuse an address that a Redis client cannot use."""
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValidationError("must begin with redis://, rediss:// or unix://.")
    try:
        redis.ConnectionPool.from_url(value)  # Reads it; does not connect.
    except ValueError as error:
        raise ValidationError("is not an address that can be read.") from error


def database_from(url: str) -> dj_database_url.DBConfig:
    """Turn a database address into an entry of Django's DATABASES.

    Args:
        url: `postgresql://user:password@host:port/name` or `sqlite:////absolute/path`.

    Raises:
        ValidationError: the address is neither PostgreSQL's nor SQLite's, or cannot be read.
    """
    if not url.startswith(("postgres://", "postgresql://", "sqlite://")):
        raise ValidationError("must begin with postgresql:// or sqlite://.")
    try:
        database = dj_database_url.parse(url)
    except ValueError as error:
        raise ValidationError("is not an address that can be read.") from error
    if database["ENGINE"].endswith("sqlite3"):
        options = {**SQLITE_OPTIONS, **database.get("OPTIONS", {})}
        return {**database, "ENGINE": "project.sqlite", "OPTIONS": options}
    # A worker or web thread keeps its connection for a minute; it is checked before it is used
    # again, so a restarted database costs no failed request.
    options = {**POSTGRESQL_OPTIONS, **database.get("OPTIONS", {})}
    # Of two, the server heeds the latter: the address's own.
    ours = f"-c lock_timeout={LOCK_TIMEOUT}"
    options["options"] = " ".join(filter(None, [ours, options.get("options")]))
    return {**database, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, "OPTIONS": options}


def complaint(error: ValueError) -> str:
    """Return one line that names the variable and says what is wrong with its value."""
    if isinstance(error, EnvValidationError) and isinstance(error.error_messages, list):
        variable, _, _ = str(error).partition(" invalid: ")
        return f"{variable}: {' '.join(error.error_messages)}"
    return str(error)


def write_development_env(path: Path) -> bool:
    """Write the `.env` of a development checkout, unless there is one.

    It turns DEBUG on and holds a secret key of its own, so that `manage.py shell` and the other
    commands work beside `manage.py dev` without anything to type.

    Args:
        path: the file to write; only its owner may read it.

    Returns:
        Whether the file was written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(
            "# Written by `manage.py dev` for this checkout; .env.example names every setting.\n"
            "DJANGO_DEBUG=true\n"
            f"DJANGO_SECRET_KEY='{get_random_secret_key()}'\n"
        )
    return True
