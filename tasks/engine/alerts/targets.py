"""Where a request may go: to no private network, unless the settings allow it."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}

#: A translator sends what goes there to the IPv4 address in the last 32 bits (NAT64, RFC 6052).
TRANSLATED = IPv6Network("64:ff9b::/96")

#: Where IPv6 addresses of the public internet are, and two forms of IPv4's (RFC 4291). Not here are
#: site-local ones (fec0::/10, RFC 3879), those of translators within a network (::ffff:0:0:0/96,
#: RFC 2765, and 64:ff9b:1::/48, RFC 8215), and all that is not assigned to anybody.
PUBLIC = (IPv6Network("2000::/3"), IPv6Network("::ffff:0:0/96"), TRANSLATED)

#: For examples (RFC 9637); not every Python knows it.
EXAMPLES = IPv6Network("3fff::/20")

#: How the second half of an address begins, but for two bits, that tunnels to the IPv4 address in
#: its last 32 bits (ISATAP, RFC 5214).
ISATAP, ISATAP_MASK = 0x0000_5EFE, 0xFCFF_FFFF

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
    if port == 0:
        raise ValueError("is not a valid address.")
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
    if isinstance(address, IPv6Address) and (
        address in EXAMPLES or not any(address in network for network in PUBLIC)
    ):
        return False
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
    is_tunnel = int(address) >> 32 & ISATAP_MASK == ISATAP
    if is_tunnel or address in TRANSLATED:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
