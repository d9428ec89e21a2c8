"""What Sentry and a collector of traces are to those who send to them: servers that keep it."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Receiver:
    """What has been sent.

    Attributes:
        port: where it listens, on this machine.
        bodies: what came, by path, unpacked.
        headers: those of each request.
    """

    port: int
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        """Its address, as SENTRY_DSN takes it."""
        return f"http://public@127.0.0.1:{self.port}/1"

    @property
    def endpoint(self) -> str:
        """Its address, as OTEL_EXPORTER_OTLP_ENDPOINT takes it."""
        return f"http://127.0.0.1:{self.port}"

    def everything(self) -> bytes:
        """Return all that came, as it was before it was packed."""
        return b"\n".join(body for _, body in self.bodies) + json.dumps(self.headers).encode()

    def events(self) -> list[dict[str, Any]]:
        """Return the events in Sentry's envelopes."""
        found = []
        for path, body in self.bodies:
            if path == "/api/1/envelope/":
                _, header, payload, *_ = body.split(b"\n")
                assert json.loads(header)["type"] == "event"
                found.append(json.loads(payload))
        return found

    def spans(self) -> list[tuple[dict[str, str], Span]]:
        """Return the spans that came by OTLP, each with what is said of its process."""
        found = []
        for path, body in self.bodies:
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    of = {one.key: one.value.string_value for one in resource.resource.attributes}
                    found += [(of, span) for scope in resource.scope_spans for span in scope.spans]
        return found


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a server that takes all that is sent to it, until the block ends."""

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            kept.bodies.append((self.path, body))
            kept.headers.append(dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Keep) as server:
        kept = Receiver(server.server_port)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()
