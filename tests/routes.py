"""The addresses of the site, as its URL configuration has them."""

import re
from collections.abc import Callable, Iterator

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern, RegexPattern, RoutePattern

from project.lazy import LazyResolver

type Pattern = RegexPattern | RoutePattern | LocalePrefixPattern

#: What differs in a route, in Django's own form or in that of a regular expression.
VALUE = re.compile(r"<(?:\w+:)?\w+>|\(\?P<\w+>[^)]*\)")


def patterns(
    resolver: URLResolver, before: tuple[Pattern, ...] = ()
) -> Iterator[tuple[Pattern, ...]]:
    """Yield the parts of each address; what is loaded at its first request, is loaded now."""
    for one in resolver.url_patterns:
        pattern: object = one
        if isinstance(pattern, LazyResolver):
            pattern = pattern.resolver
        assert isinstance(pattern, URLPattern | URLResolver)
        parts = (*before, pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield parts
        else:
            yield from patterns(pattern, parts)


def routes() -> list[str]:
    """Return each address of the site once, with marks where it has values."""
    found = (
        "/" + "".join(re.sub(r"[\^$]|\\Z", "", str(part)) for part in parts)
        for parts in patterns(get_resolver())
    )
    return list(dict.fromkeys(found))


def filled(route: str, value: Callable[[], str]) -> str:
    """Return a route with a value at each of its marks."""
    return VALUE.sub(lambda _: value(), route)
