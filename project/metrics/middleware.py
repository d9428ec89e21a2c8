"""Answers `/metrics`, and counts all other requests.

This is a middleware, not a view, as the health probes are: Prometheus comes by IP address and plain
HTTP, which the host check and the redirect to HTTPS would refuse.
"""

from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.crypto import constant_time_compare

from project.metrics.exposition import scrape
from project.metrics.reading import outages
from project.metrics.requests import request_counts

PATH = "/metrics"


class MetricsMiddleware:
    """Without METRICS_TOKEN, there is no such page, and nothing is counted."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.token: str = settings.METRICS_TOKEN

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == PATH:
            return self.answer(request)
        if not self.token:
            return self.get_response(request)
        began = perf_counter()
        response = self.get_response(request)
        count(request, response, perf_counter() - began)
        return response

    def answer(self, request: HttpRequest) -> HttpResponse:
        if not self.token:
            return plain("not found\n", HTTPStatus.NOT_FOUND)
        if not self.is_allowed(request.headers.get("Authorization", "")):
            response = plain("unauthorized\n", HTTPStatus.UNAUTHORIZED)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        body, content_type = scrape(request.headers.get("Accept", ""))
        response = HttpResponse(body, content_type=content_type)
        response.headers["Cache-Control"] = "no-store"
        return response

    def is_allowed(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and constant_time_compare(token.strip(), self.token)


def count(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """Count a request; people get their answer also where there is no place for that."""
    try:
        request_counts().add(request, response, seconds)
    except OSError as error:
        outages.report("metrics of requests", error, how="not kept")
    else:
        outages.resolve("metrics of requests")


def plain(text: str, status: HTTPStatus) -> HttpResponse:
    return HttpResponse(text, content_type="text/plain", status=status)
