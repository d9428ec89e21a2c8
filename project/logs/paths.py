"""How requests are logged: without the secrets and texts that people's links carry."""

import re
from http import HTTPStatus

from django.contrib.admindocs.utils import replace_metacharacters, replace_named_groups
from django.http import HttpRequest
from django.urls import Resolver404, ResolverMatch, resolve

#: Where a route has a value: its name.
VALUE = re.compile(r"<(?:\w+:)?(\w+)>")

#: From here on, it is not the client's fault.
FAILED = HTTPStatus.INTERNAL_SERVER_ERROR

#: A path that no page has.
UNKNOWN = "/<unknown>"

#: HTTP's own; any other is a text of whoever sent it, for which OpenTelemetry has a name.
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER_METHOD = "_OTHER"


def shown_method(request: HttpRequest) -> str:
    """Return a request's method, or `_OTHER`."""
    method = request.method or ""
    return method if method in METHODS else OTHER_METHOD


def pattern_of(match: ResolverMatch) -> str:
    """Return a route as people write it, with a name in place of each value: `/todos/<id>/`."""
    route = "/" + replace_metacharacters(replace_named_groups(match.route)).lstrip("/")
    return VALUE.sub(r"<\1>", route)


def route_of(request: HttpRequest) -> str:
    """Return the route of a request that has been answered, without values; empty without one."""
    return pattern_of(request.resolver_match) if request.resolver_match else ""


def shown_path(request: HttpRequest) -> str:
    """Return a request's path as its route has it: of the values in it, only numbers are shown.

    Links of mails hold what logs somebody in, or unsubscribes them. A path that no page has may be
    such a link with a slip in it: nothing of it is shown.
    """
    return as_shown(request.path_info, request.resolver_match)


def as_shown(path: str, match: ResolverMatch | None = None) -> str:
    """Return what `shown_path` says of a path, whose route need not be known."""
    try:
        match = match or resolve(path)
    except Resolver404:
        return UNKNOWN

    def shown(found: re.Match[str]) -> str:
        value = str(match.kwargs.get(found[1], ""))
        return value if value.isdecimal() else f"<{found[1]}>"

    return VALUE.sub(shown, pattern_of(match))
