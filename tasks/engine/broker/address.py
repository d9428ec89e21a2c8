"""Checks the broker's address as far as that goes without a connection.

redis-py reads some values only when it connects, and leaves out others, such as a database's number
that is none.
"""

import codecs
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from redis.connection import parse_url

from tasks.engine.broker.clients import SENTINEL_SCHEMES, WrongAddress, connection_pool

#: The options that must be above 0, and their highest value, which a socket still takes.
POSITIVE = ("max_connections", "socket_connect_timeout", "socket_read_size", "socket_timeout")
MOST = 1_000_000

#: All that an address can set: redis-py would take others as texts, and need other things.
OPTIONS = {
    *POSITIVE,
    *("client_name", "db", "encoding", "encoding_errors", "health_check_interval"),
    *("legacy_responses", "lib_name", "lib_version", "password", "protocol", "retry_on_timeout"),
    *("sentinel_password", "sentinel_username", "socket_keepalive", "ssl_ca_certs", "ssl_ca_data"),
    *("ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_ciphers"),
    *("ssl_exclude_verify_flags", "ssl_include_verify_flags", "ssl_keyfile", "ssl_min_version"),
    *("ssl_password", "ssl_validate_ocsp", "username"),
}


def check_address(url: str) -> None:
    """Check an address as `clients.client_for` takes it.

    Raises:
        ValueError: it is none. If it is a WrongAddress, its text may be shown.
    """
    scheme, _, rest = url.partition("://")
    query = rest.partition("?")[2].rstrip("&")
    try:
        given = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise WrongAddress("must have options such as ?name=value.") from None
    if not set(given) <= OPTIONS:
        raise WrongAddress("has an option that does not exist, or that an address cannot set.")
    if any(len(values) > 1 or not values[0] for values in given.values()):
        raise WrongAddress("has an option without a value, or with two.")
    try:
        connection_pool(url)
    except redis.RedisError:
        raise WrongAddress("has an option with an invalid value.") from None
    if scheme not in SENTINEL_SCHEMES:
        check_server(url)
    # On its own: redis-py would need one host.
    check_options(parse_url(f"redis://-?{query}"))


def check_server(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path:
            raise WrongAddress("must have the absolute path of a socket: unix:///run/valkey.sock.")
        return
    if not parts.hostname or not is_host(parts.hostname):
        raise WrongAddress("must name a host.")
    if parts.port == 0:
        raise WrongAddress("has an invalid port.")
    if not parts.path.strip("/").isdecimal() and parts.path not in {"", "/"}:
        raise WrongAddress("must end with the number of a database, or have none.")


def is_host(name: str) -> bool:
    """Say whether a name can be looked up, or is an IP address."""
    try:
        name.encode("idna")
    except UnicodeError:  # A label of it is empty, or too long.
        return False
    return "%" not in name or ":" in name  # In IPv6, a zone follows.


def check_options(given: Mapping[str, Any]) -> None:
    for name in POSITIVE:
        if name in given and not 0 < given[name] <= MOST:
            raise WrongAddress(f"must have a {name} above 0, and up to {MOST:,}.")
    for name in ("db", "health_check_interval"):
        if not 0 <= given.get(name, 0) <= MOST:
            raise WrongAddress(f"must have a {name} of 0 or more, and up to {MOST:,}.")
    try:
        codecs.lookup(given.get("encoding", "utf-8"))
    except LookupError:
        raise WrongAddress("has an encoding that does not exist.") from None
    try:
        check_certificates(given)
    except PermissionError:
        pass  # It is for another user, who may share this address.
    except (OSError, ValueError):
        raise WrongAddress(
            "has an option for TLS that cannot be used: a file that is missing, or is of another"
            " kind, or an invalid value."
        ) from None


def check_certificates(given: Mapping[str, Any]) -> None:
    """Have OpenSSL read what the options for TLS name, as redis-py does when it connects.

    Raises:
        OSError, ValueError: it cannot.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file, folder = given.get("ssl_ca_certs"), given.get("ssl_ca_path")
    data = given.get("ssl_ca_data")
    if folder and not Path(folder).is_dir():
        raise NotADirectoryError
    if file or folder or data:
        context.load_verify_locations(file, folder, data)
    certificate, key = given.get("ssl_certfile"), given.get("ssl_keyfile")
    if key and not certificate:
        raise ValueError
    if certificate:
        # With no password at all, OpenSSL would ask for one in the terminal.
        context.load_cert_chain(certificate, key, given.get("ssl_password", ""))
    if minimum := given.get("ssl_min_version"):
        context.minimum_version = minimum
    if ciphers := given.get("ssl_ciphers"):
        context.set_ciphers(ciphers)
