"""A collector of traces: a real HTTP server that reads OTLP, as the exporter sends it, and keeps every span."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traces.tracer import PATH


@dataclass(frozen=True)
class Collected:
    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str  # "": a root
    kind: int
    failed: bool
    links: list[tuple[str, str]]  # trace and span
    attributes: dict[str, str | int]


@dataclass
class Collector:
    url: str
    spans: list[Collected] = field(default_factory=list)
    status: int = 200

    def named(self, name: str, service: str = "") -> list[Collected]:
        return [span for span in list(self.spans) if span.name == name and service in span.service]

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            told = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Collected(
                            service=told["service.name"],
                            name=span.name,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            kind=span.kind,
                            failed=span.status.code == span.status.STATUS_CODE_ERROR,
                            links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                            attributes={
                                one.key: one.value.string_value or one.value.int_value for one in span.attributes
                            },
                        )
                    )


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = collector.status if self.path == PATH else 404
            if status == 200:
                collector.take(body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
