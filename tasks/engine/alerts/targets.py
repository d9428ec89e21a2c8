"""Where a request may go: to no private network, unless the settings allow it."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}

#: With an IPv4 address in the last 32 bits: translated to it, and an old form of it.
LIKE_IPV4 = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))

type Address = IPv4Address | IPv6Address


class PrivateTarget(Exception):  # noqa: N818  (it names the state, as Django's own do)
    """A host has an address that is not public."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a request goes.

    Attributes:
        scheme: `http` or `https`.
        path: with the query.
    """

    scheme: str
    host: str
    port: int
    path: str


def parse_target(url: str) -> Target:
    """Return where an address leads.

    Raises:
        ValueError: it is none that a request can be sent to; the text does not repeat it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a valid address.") from None
    if parts.scheme not in PORTS or not host:
        raise ValueError("must be an address that begins with https:// or http://.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must name no user and no password.")
    if "#" in url:
        raise ValueError("must have no #: it, and what follows, would not be sent.")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must consist of plain ASCII; encode everything else.")
    return Target(
        scheme=parts.scheme, host=host, port=port or PORTS[parts.scheme], path=path_of(parts)
    )


def path_of(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def resolve(target: Target, *, private_too: bool) -> list[str]:
    """Return the addresses of a target's host, all of which were checked.

    The name is asked for once: whoever connects must use one of these addresses, or the name could
    lead elsewhere by then.

    Raises:
        PrivateTarget: one of them is not public.
        OSError: the name is unknown.
    """
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(where[0]) for *_, where in found))
    if not private_too and not all(is_public(ip_address(address)) for address in addresses):
        raise PrivateTarget
    return addresses


def is_public(address: Address) -> bool:
    """Say whether an address, and each that is hidden in it, is one of the public internet."""
    return all(each.is_global and not each.is_multicast for each in (address, *hidden_in(address)))


def hidden_in(address: Address) -> Iterator[Address]:
    """Yield the IPv4 addresses that packets to an IPv6 address may be sent to."""
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if any(address in network for network in LIKE_IPV4):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
