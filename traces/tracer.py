"""How our processes trace: spans whose parents and links are said, not found out.

OpenTelemetry's SDK is imported by a tracer that is on, and by nothing else of ours: it takes 0.4 s and 15 MB.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING

from traces.context import Context

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    from traces.outbox import Outbox

EXPORT_TIMEOUT_S = 5.0  # of one request, its retries included
CLOSE_WITHIN_S = 2.0
PATH = "/v1/traces"  # of OTLP over HTTP, below a collector's address

Attributes = Mapping[str, str | int]


class Kind(StrEnum):
    """OpenTelemetry's names."""

    SERVER = "SERVER"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span:
    """One under way; of those that are sampled only."""

    def __init__(self, span: "trace.Span") -> None:
        self._span = span
        found = span.get_span_context()
        self.context = Context(f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_flags.sampled)

    def end(self, attributes: Attributes | None = None, failed: str = "") -> None:
        """`failed`: of what kind the error was. Only the first call counts."""
        from opentelemetry.trace import StatusCode

        if not self._span.is_recording():
            return
        self._span.set_attributes(dict(attributes or {}))
        if failed:
            self._span.set_attribute("error.type", failed)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Tracer:
    def __init__(self, collector: str = "", service: str = "") -> None:
        """`collector`: its address for OTLP over HTTP; "": this tracer is off, and begins no span. Opens nothing."""
        self.on = bool(collector)
        if self.on:
            self._provider, self._outbox = _open(collector, service)
            self._tracer = self._provider.get_tracer("classpulse")

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: Context | None,
        attributes: Attributes,
        links: Sequence[Context] = (),
        began_ns: int | None = None,
    ) -> Span:
        """To be asked of one that is on. `began_ns`: epoch; None: now."""
        from opentelemetry import trace

        return Span(
            self._tracer.start_span(
                name,
                context=trace.set_span_in_context(
                    trace.NonRecordingSpan(_remote(parent)) if parent else trace.INVALID_SPAN
                ),
                kind=trace.SpanKind[kind],
                attributes=dict(attributes),
                links=[trace.Link(_remote(link)) for link in links],
                start_time=began_ns or time.time_ns(),
            )
        )

    async def close(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Sends what waits, for at most so long. Blocks nobody."""
        if self.on:
            await asyncio.to_thread(self._outbox.close, within_s)


OFF = Tracer()


def _remote(context: Context) -> "trace.SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=True, trace_flags=flags)


def _open(collector: str, service: str) -> "tuple[TracerProvider, Outbox]":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    from traces.outbox import Outbox

    outbox = Outbox(OTLPSpanExporter(endpoint=collector.rstrip("/") + PATH, timeout=EXPORT_TIMEOUT_S))
    resource = Resource.create(
        {"service.name": service, "service.namespace": "classpulse", "service.version": version("classpulse")}
    )
    # Asked for a span is only who has been sampled already (`head`).
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(outbox)
    return provider, outbox
