"""Parts of the URL configuration that are loaded at the first request below their prefix.

What they import would cost each process time at its start, and memory: also those that serve no
pages, as Django's checks and `reverse()` look through all addresses.
"""

from django.core.checks import CheckMessage
from django.urls import ResolverMatch, URLResolver
from django.urls.resolvers import RoutePattern
from django.utils.datastructures import MultiValueDict


class LazyResolver:
    """Stands in the URL configuration for patterns that may not be loaded yet.

    It has the parts of Django's own resolver that the one above asks for, but no `url_patterns`:
    Django's checks look into all that has them. To `reverse()` it offers a namespace, of which the
    patterns are loaded when one of its names is asked for.

    Attributes:
        resolver: Django's own, which loads the patterns when it is asked for one. Threads that ask
            at once wait for the same import, and get the same patterns.
    """

    # To the resolver above, it is in no namespace, and adds no name of its own.
    app_name = None
    namespace = None
    # For the page on which developers read which patterns were tried.
    name = None

    def __init__(self, route: str, module: str, namespace: str) -> None:
        self.pattern = RoutePattern(route)
        self.resolver = URLResolver(self.pattern, module, app_name=namespace, namespace=namespace)
        self.reverse_dict: MultiValueDict[str, object] = MultiValueDict()
        self.namespace_dict = {namespace: ("", self.resolver)}
        self.app_dict = {namespace: [namespace]}
        self._callback_strs: set[str] = set()

    def resolve(self, path: str) -> ResolverMatch:
        """Return the view for a path; only below the prefix, the patterns are loaded.

        Raises:
            Resolver404: there is none.
        """
        return self.resolver.resolve(path)

    def check(self) -> list[CheckMessage]:
        """Check the prefix alone."""
        return self.pattern.check()

    def _populate(self) -> None:
        """Do nothing: what the resolver above reads next is there."""


def lazily(route: str, module: str, *, namespace: str) -> LazyResolver:
    """Return what stands for a module's patterns in `urlpatterns`, as `path(…, include(…))` does.

    Args:
        route: the prefix, such as `calendar/`, which has no values.
        module: the dotted name of the module that has the `urlpatterns`. Its own `app_name` is not
            read.
        namespace: of the names of its patterns, which no others have.
    """
    return LazyResolver(route, module, namespace)
