"""Makes an entry of Django's DATABASES from an address, and refuses one that cannot work.

Neither errors nor their causes repeat anything of it: it may hold a password.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import dj_database_url
from environs import ValidationError
from psycopg import Error, pq
from psycopg.conninfo import make_conninfo

from project.addresses import check_characters, pieces_of, split_address

SQLITE_OPTIONS = {
    # Take the write lock when a transaction begins. On SQLite, a transaction that reads first and
    # writes later cannot wait for that lock: it fails at once, whatever the time-out.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
TRANSACTION_MODES = {"DEFERRED", "IMMEDIATE", "EXCLUSIVE"}
#: Of which the address may set these, beside what is above.
SQLITE_NUMBERS = ("timeout", "cached_statements")
IN_MEMORY = ":memory:"

#: For libpq. Nothing else ends the wait for a server that has gone silent, as when the network is
#: cut: an actor's time limit cannot interrupt a thread that waits in libpq.
POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,  # seconds, for each of several hosts
    # A silent connection is probed after 10 s and dropped 15 s later.
    "keepalives": 1,
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    # The same for data that was sent and is not acknowledged.
    "tcp_user_timeout": 20_000,  # milliseconds
}
POSTGRESQL_PORT = 5432
#: The values of `target_session_attrs` that find the one to use.
ACCEPTS_WRITES = {"read-write", "primary"}
#: How long a statement waits for a lock, unless its transaction sets another time-out.
LOCK_TIMEOUT_MILLISECONDS = 10_000

#: Options that are Django's own; all others are libpq's.
DJANGO_OPTIONS = {"assume_role", "isolation_level", "prepare_threshold", "server_side_binding"}
#: What libpq, or psycopg, reads only later.
NUMBERS = (*POSTGRESQL_OPTIONS, "isolation_level", "prepare_threshold")
MOST = 2**31 - 1
#: The values of `sslmode` that need a file of certificates, unless that is `system`. Without one,
#: libpq passes over files that are missing.
VERIFIES = {"verify-ca", "verify-full"}
#: Longer names are cut off by PostgreSQL.
MOST_NAME_CHARACTERS = 63
#: No folder, so no socket of a server can be in it.
NOWHERE = "/dev/null"


def database_from(url: str) -> dj_database_url.DBConfig:
    """Return an entry of Django's DATABASES, or raise ValidationError.

    Args:
        url: `postgresql://user:password@host:port/name`, with several hosts
            `postgresql://user:password@host:port,host2:port/name?target_session_attrs=read-write`,
            or `sqlite:////absolute/path`.
    """
    if not url.startswith(("postgres://", "postgresql://", "sqlite://")):
        raise ValidationError("must begin with postgresql:// or sqlite://.")
    check_characters(url)
    if "%00" in url:
        raise ValidationError("is not a valid address.")
    is_sqlite = url.startswith("sqlite://")
    query = url.partition("?")[2].rstrip("&")
    try:
        parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
        database = dj_database_url.parse(url) if is_sqlite else with_hosts(url)
    except ValueError:
        raise ValidationError("is not a valid address.") from None
    given = database.get("OPTIONS", {})
    if any(isinstance(value, list) for value in given.values()):
        raise ValidationError("has an option twice.")
    if not is_sqlite:
        return postgresql(database, given)
    name = database["NAME"]
    # dj_database_url takes an address without any path for a database in memory, too.
    is_named = (name == IN_MEMORY and IN_MEMORY in url) or Path(name).is_absolute()
    # A relative path would mean another file in each folder.
    if database.get("HOST") or not is_named:
        raise ValidationError("must have an absolute path: sqlite:////folder/tidy.sqlite3.")
    return sqlite(database, given)


def sqlite(
    database: dj_database_url.DBConfig, given: Mapping[str, Any]
) -> dj_database_url.DBConfig:
    options = {**SQLITE_OPTIONS, **given}
    if not set(options) <= {*SQLITE_OPTIONS, *SQLITE_NUMBERS}:
        raise ValidationError("has an option that is not known.")
    if options["transaction_mode"].upper() not in TRANSACTION_MODES or not all(
        is_number(options.get(name, 0)) for name in SQLITE_NUMBERS
    ):
        raise ValidationError("has an option with an invalid value.")
    return {**database, "ENGINE": "project.sqlite", "OPTIONS": options}


def postgresql(
    database: dj_database_url.DBConfig, given: Mapping[str, Any]
) -> dj_database_url.DBConfig:
    # A thread of a worker or the web keeps its connection for a minute. The connection is checked
    # before it is used again, so a restart of the database fails no request.
    options = {**POSTGRESQL_OPTIONS, **given}
    # If an option is set twice, the last value counts: the address's own.
    ours = f"-c lock_timeout={LOCK_TIMEOUT_MILLISECONDS}"
    options["options"] = " ".join(filter(None, [ours, str(options.get("options", ""))]))
    wanted = options.get("target_session_attrs", "any")
    if wanted not in {"any", *ACCEPTS_WRITES} or "," in str(options.get("host", "")):
        raise ValidationError(
            "must lead to a server that accepts writes: postgresql://user:password@host,host2/name"
            "?target_session_attrs=read-write."
        )
    if "," in database["HOST"] and wanted == "any":
        raise ValidationError("names several hosts: add ?target_session_attrs=read-write.")
    if not (database["NAME"] or options.get("service")):
        raise ValidationError("lacks the name of a database: postgresql://user@host:5432/name.")
    if len(database["NAME"]) > MOST_NAME_CHARACTERS:
        raise ValidationError("has the name of a database that is too long.")
    made: dj_database_url.DBConfig = {
        **database,
        "ENGINE": "project.postgresql",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }
    check_options(made)
    return made


def is_number(value: object) -> bool:
    """Say whether a value is one from 0 on that a server or a socket can take, too."""
    return str(value).isdecimal() and int(str(value)) <= MOST


def check_options(database: dj_database_url.DBConfig) -> None:
    """Raise ValidationError if libpq would refuse the options; it does not connect.

    Nothing is named that the address alone says: an option is a piece of the password if that has a
    & in it.
    """
    options = dict(database["OPTIONS"])
    for name in NUMBERS:
        if not is_number(options.get(name, 0)):
            raise ValidationError(f"has an invalid {name}: it must be a number.")
    if options.get("sslmode") in VERIFIES:
        check_file("sslrootcert", str(options.get("sslrootcert", "system")))
    port = str(database["PORT"] or options.get("port", POSTGRESQL_PORT))
    of_libpq = {name: value for name, value in options.items() if name not in DJANGO_OPTIONS}
    try:
        given = make_conninfo("", **of_libpq)
    except Error:
        raise ValidationError("has an option that is not known.") from None
    # All others it reads before it looks for a server, of which there is none.
    nowhere = ",".join(NOWHERE for _ in port.split(","))
    # Encryption by Kerberos needs a server that is no socket.
    tried = make_conninfo(given, host=nowhere, hostaddr="", port=port, gssencmode="disable")
    if NOWHERE not in pq.PGconn.connect_start(tried.encode()).get_error_message():
        raise ValidationError("has an option with an invalid value.")


def check_file(name: str, path: str) -> None:
    if path not in {"", "system"} and not Path(path).exists():
        raise ValidationError(f"has a {name} that does not exist.")


def with_hosts(url: str) -> dj_database_url.DBConfig:
    """Parse a database's address, which may name several hosts.

    Raises:
        ValueError: it is none.
        ValidationError: likewise; its text may be shown.
    """
    scheme, credentials, hosts, rest = pieces_of(url)
    parts = [split_address(f"//{host}") for host in hosts.split(",")]
    if "," not in hosts:
        return dj_database_url.parse(url)
    database = dj_database_url.parse(f"{scheme}://{credentials}@several{rest}")
    if not all(part.hostname for part in parts):
        raise ValueError("lacks a host between two commas")
    database["HOST"] = ",".join(unquote(str(part.hostname)) for part in parts)
    database["PORT"] = ",".join(str(part.port or POSTGRESQL_PORT) for part in parts)
    return database
