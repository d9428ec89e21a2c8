"""Where a request comes from: the client's address, and its browser in plain words."""

from ipaddress import IPv6Address, ip_address

from allauth.core.internal.httpkit import get_client_ip
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.translation import gettext as _

#: Stands for an address that is not known, as with a proxy that speaks to a Unix socket.
UNKNOWN = "0.0.0.0"  # noqa: S104  (nothing listens there)

#: What a browser calls itself, the most telling first: nearly all say that they are Safari too.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS", "Mac"),
    ("Linux", "Linux"),
)


def address_of(request: HttpRequest) -> str:
    """Return the client's address, as the proxies report it that the settings trust.

    It is always a valid one: `UNKNOWN` where there is none.
    """
    try:
        reported = get_client_ip(request)
    except ImproperlyConfigured:  # The request has not come through all of these proxies.
        reported = None
    return valid(reported or "") or valid(request.META.get("REMOTE_ADDR", "")) or UNKNOWN


def valid(text: str) -> str | None:
    """Return an address as databases accept it, or None if it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # As an IPv6 address, all of IPv4 would be one network to the rate limits.
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def browser_of(user_agent: str) -> str:
    """Return a browser's name and system, such as "Firefox on Linux"."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown browser")
