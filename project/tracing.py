"""Spans of OpenTelemetry: a request, what it enqueues, each attempt of a worker, and their SQL.

This module is imported only where an endpoint is set (`project/apps.py`). Spans hold names, numbers
and statements without their values: no path, no argument, no message of an error.
"""

import atexit
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse
from dramatiq.errors import Retry
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers
from structlog.contextvars import bound_contextvars, get_contextvars

from project.logs.paths import FAILED, route_of, shown_method
from tasks.engine.tracing import Tracing, use_tracing

#: All that wait are sent at once: a process that ends waits for one answer, and no longer.
MOST_WAITING = 2048
TIMEOUT_SECONDS = 3

#: Of a statement; a bulk insert may be long.
MAX_STATEMENT_CHARACTERS = 2_000

_w3c = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("tidy")


def start_tracing() -> Callable[[], None]:
    """Send this process's spans; to be called after it was forked. Return what ends that."""
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", str(TIMEOUT_SECONDS))
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "tidy"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.OTEL_ENDPOINT.rstrip('/')}/v1/traces",
        headers=parse_env_headers(settings.OTEL_HEADERS, liberal=True),
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter, max_queue_size=MOST_WAITING, max_export_batch_size=MOST_WAITING
        )
    )
    trace.set_tracer_provider(provider)
    use_tracing(Spans())
    connection_created.connect(trace_statements, dispatch_uid="tracing")
    atexit.register(provider.shutdown)
    return provider.shutdown


class Spans(Tracing):
    """The spans around the engine's work."""

    def parent(self) -> str:
        carrier: dict[str, str] = {}
        _w3c.inject(carrier)
        return carrier.get("traceparent", "")

    def enqueueing(self, task: str) -> AbstractContextManager[object]:
        return span(f"enqueue {task}", SpanKind.PRODUCER, {"task": task})

    def publishing(self, task: str, parent: str) -> AbstractContextManager[object]:
        if not parent:
            return nullcontext()
        return span(f"publish {task}", SpanKind.PRODUCER, {"task": task}, within=context_of(parent))

    @contextmanager
    def attempt(self, task: str, parent: str) -> Iterator[None]:
        within = context_of(parent)
        with span(f"run {task}", SpanKind.CONSUMER, {"task": task}, within=within) as current:
            try:
                yield
            finally:
                bound = get_contextvars()
                for name in ("run", "attempt"):
                    if name in bound:
                        current.set_attribute(name, bound[name])


class RequestSpanMiddleware:
    """Opens a request's span, named by its route; within a trusted proxy's, if it names one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        method = shown_method(request)
        given = request.headers.get("traceparent", "") if settings.TRUSTED_PROXIES else ""
        attributes = {"http.request.method": method}
        with span(method, SpanKind.SERVER, attributes, within=context_of(given)) as current:
            response = self.get_response(request)
            if route := route_of(request):
                current.update_name(f"{method} {route}")
                current.set_attribute("http.route", route)
            current.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= FAILED:
                current.set_status(StatusCode.ERROR)
        return response


@contextmanager
def span(
    name: str, kind: SpanKind, attributes: Mapping[str, Any], *, within: Context | None = None
) -> Iterator[Span]:
    """Open a span, within the current one by default, whose trace the lines of the log name.

    Of an error it gets the type alone, and none of a run that only continues later.
    """
    opened = _tracer.start_as_current_span(
        name,
        within,
        kind,
        attributes,
        record_exception=False,
        set_status_on_exception=False,
    )
    with opened as current:
        trace_id = trace.format_trace_id(current.get_span_context().trace_id)
        with bound_contextvars(trace_id=trace_id):
            try:
                yield current
            except Exception as error:
                if not isinstance(error, Retry):
                    current.set_status(StatusCode.ERROR)
                    current.set_attribute("error.type", type(error).__name__)
                raise


def context_of(parent: str) -> Context:
    """Return the context of a span that began elsewhere; an empty one if there is none."""
    return _w3c.extract({"traceparent": parent} if parent else {}, Context())


def trace_statements(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Have each statement of a connection open a span, where it is part of one."""
    if trace_statement not in connection.execute_wrappers:
        connection.execute_wrappers.append(trace_statement)


def trace_statement(
    execute: Callable[..., Any],
    sql: object,
    params: Sequence[Any] | None,
    many: bool,  # noqa: FBT001  (Django's form)
    context: dict[str, Any],
) -> Any:
    # Heartbeats and the relay's rounds are part of nothing.
    if not trace.get_current_span().is_recording():
        return execute(sql, params, many, context)
    statement = sql if isinstance(sql, str) else ""
    attributes = {
        "db.system.name": context["connection"].vendor,
        "db.query.text": statement[:MAX_STATEMENT_CHARACTERS],
    }
    name = statement.split(maxsplit=1)[0].upper() if statement.strip() else "SQL"
    with span(name, SpanKind.CLIENT, attributes):
        return execute(sql, params, many, context)
