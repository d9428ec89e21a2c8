"""What web processes count themselves: requests, and how long they took."""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from threading import Lock

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch
from prometheus_client import Counter, Histogram, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from project.logs.paths import pattern_of, shown_method
from project.metrics.slots import take_slot

#: Upper bounds (seconds) of the buckets of durations.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

#: The routes of requests that no page answered.
STATIC, UNKNOWN = "static", "unknown"

_lock = Lock()


class RequestCounts:
    """The counts of all processes of this server, to which this process adds its own."""

    def __init__(self) -> None:
        slot = take_slot()
        # What prometheus-client reads, for processes that share a folder.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(slot.folder)
        values.ValueClass = values.MultiProcessValue(lambda: slot.number)
        self._collector = MultiProcessCollector(None, str(slot.folder))
        self._requests = Counter(
            "tidy_http_requests",
            "Requests that were answered, by the class of the status, such as 2xx.",
            ["method", "route", "status"],
            registry=None,
        )
        self._durations = Histogram(
            "tidy_http_request_duration_seconds",
            "How long it took to answer a request.",
            ["method", "route"],
            registry=None,
            buckets=BUCKETS,
        )

    def add(self, request: HttpRequest, response: HttpResponse, seconds: float) -> None:
        """Count a request that was answered after so many seconds."""
        method = shown_method(request)
        route = route_of(request)
        self._requests.labels(method, route, f"{response.status_code // 100}xx").inc()
        self._durations.labels(method, route).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield what all processes have counted."""
        collected: Iterable[Metric] = self._collector.collect()
        yield from collected


@cache
def _counts() -> RequestCounts:
    return RequestCounts()


def request_counts() -> RequestCounts:
    """Return the counts of this process; it must have been forked before.

    Raises:
        OSError: there is no place for them.
    """
    with _lock:
        return _counts()


def route_of(request: HttpRequest) -> str:
    """Return a label of which there are no more than routes: nothing of the address itself."""
    match: ResolverMatch | None = request.resolver_match
    if match is not None:
        return pattern_of(match)
    return STATIC if request.path.startswith(settings.STATIC_URL) else UNKNOWN
