"""Checks the addresses among the settings, and puts passwords into them.

No error repeats an address, not even as its cause: it may hold a password.
"""

import re
from email.utils import parseaddr
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from environs import ValidationError

#: As Django compares them with what visitors ask for: in small letters and ASCII.
HOST = r"(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])"
ALLOWED_HOST = re.compile(rf"\*|{HOST}|\.{HOST}", re.IGNORECASE)
ORIGIN = re.compile(rf"https?://(?:\*\.)?{HOST}(?::[0-9]{{1,5}})?")

#: Of a mail, whose host may have no dot, within a network of one's own.
MAILBOX = re.compile(rf"[^@\s]+@(?:[\w-]+(?:\.[\w-]+)*|{HOST})")

#: Of an address that has been split: a name, perhaps not in ASCII, or an IP address.
HOST_NAME = re.compile(r"[\w.:-]+")


class Pieces(NamedTuple):
    """An address in pieces: the first two without what divides them, the last with it.

    `urlsplit` would refuse an address with several hosts.
    """

    scheme: str
    credentials: str
    hosts: str
    rest: str


def pieces_of(url: str) -> Pieces:
    scheme, _, after = url.partition("://")
    authority = re.split("[/?#]", after, maxsplit=1)[0]
    credentials, _, hosts = authority.rpartition("@")
    return Pieces(scheme, credentials, hosts, after.removeprefix(authority))


def with_password(url: str, password: str) -> str:
    """Return the address with this password in the place of its own; as it is if there is none."""
    if not password:
        return url
    scheme, credentials, hosts, rest = pieces_of(url)
    user, _, _ = credentials.partition(":")
    return f"{scheme}://{user}:{quote(password, safe='')}@{hosts}{rest}"


def check_characters(value: str) -> None:
    """Raise ValidationError if `urlsplit` would leave out a part of an address, or cut it short."""
    if "#" in value or not value.isprintable():
        raise ValidationError(
            "must have no #, line break or invisible character: percent-encode these."
        )


def split_address(value: str) -> SplitResult:
    """Split an address; its port can be asked for, too. Raise ValidationError if it is none."""
    check_characters(value)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValidationError("is not a valid address.") from None
    if port == 0:
        raise ValidationError("has an invalid port.")
    return parts


def split_web_address(value: str, *, example: str) -> SplitResult:
    parts = split_address(value)
    is_web = parts.scheme in {"http", "https"} and HOST_NAME.fullmatch(parts.hostname or "")
    if not is_web or " " in value:
        raise ValidationError(f"must be an address such as {example}.")
    return parts


def site_address(value: str) -> None:
    if value:
        parts = split_web_address(value, example="https://tidy.example.org")
        if "@" in parts.netloc or "?" in value:
            raise ValidationError("must have no user, no password and no query.")


def sentry_address(value: str) -> None:
    if not value:
        return
    example = "https://KEY@sentry.example.org/1"
    parts = split_web_address(value, example=example)
    project = parts.path.rpartition("/")[2]
    if not parts.username or not project.isdecimal() or "?" in value:
        raise ValidationError(f"must be a DSN such as {example}.")
    check_installed("sentry_sdk", extra="sentry")


def collector_address(value: str) -> None:
    if not value:
        return
    split_web_address(value, example="http://collector:4318")
    if "?" in value:
        raise ValidationError("must have no query.")
    check_installed("opentelemetry.sdk", extra="tracing")


def check_installed(package: str, *, extra: str) -> None:
    """Check that the packages of an extra are there; raise ValidationError if not."""
    try:
        found = find_spec(package)
    except ModuleNotFoundError:  # Of the package around it.
        found = None
    if found is None:
        raise ValidationError(f"needs packages that are missing: install the extra `{extra}`.")


def allowed_hosts(values: list[str]) -> None:
    if not all(map(ALLOWED_HOST.fullmatch, values)):
        raise ValidationError(
            "must be host names, without scheme and port, separated by commas:"
            " tidy.example.org,localhost."
        )


def trusted_origins(values: list[str]) -> None:
    if not all(map(ORIGIN.fullmatch, values)):
        raise ValidationError(
            "must be origins, with a scheme and without a path, separated by commas:"
            " https://tidy.example.org."
        )
    for value in values:
        split_address(value)


def site_of(host: str) -> str:
    """Return the address of the site at the first of the allowed hosts.

    Raises:
        ValueError: it is `*`, which is none; the text names the variable.
    """
    if host == "*":
        raise ValueError("SITE_URL: must be set where DJANGO_ALLOWED_HOSTS begins with *.")
    return f"https://{host.removeprefix('.')}"


def sender(value: str) -> None:
    _, address = parseaddr(value)
    # Without its spaces: what has some is no address.
    is_whole = address in value and MAILBOX.fullmatch(address)
    if value and not (is_whole and value.isprintable()):
        raise ValidationError("must be a sender such as Tidy <tidy@example.org>.")
