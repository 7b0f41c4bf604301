"""Spans that have ended, on their way to the collector: by a thread, so that nobody waits for it.

OpenTelemetry's own BatchSpanProcessor does as much, but does not say what it drops, and bounds no single export.
"""

import threading
from collections import deque

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from traces.telemetry import EXPORTED, FAILED, FULL

log = structlog.get_logger(__name__)

QUEUE_MAX = 4_096  # some 6 MB; what ends while it is full is dropped
EXPORT_MAX = 512  # in one request: some 10 ms of the interpreter's lock
EVERY_S = 1.0


class Outbox(SpanProcessor):
    def __init__(self, exporter: SpanExporter) -> None:
        """Its thread begins with the first span."""
        self._exporter = exporter
        self._waiting: deque[ReadableSpan] = deque()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._away = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is to be done."""

    def on_end(self, span: ReadableSpan) -> None:
        if len(self._waiting) >= QUEUE_MAX or self._stopping.is_set():
            FULL.inc()
            return
        self._waiting.append(span)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self._send()
        self._send()

    def _send(self) -> None:
        while self._waiting:
            # Nobody else takes any, so that there are as many.
            spans = [self._waiting.popleft() for _ in range(min(EXPORT_MAX, len(self._waiting)))]
            try:
                sent = self._exporter.export(spans) is SpanExportResult.SUCCESS
            except Exception:
                log.exception("spans cannot be exported")
                sent = False
            (EXPORTED if sent else FAILED).inc(len(spans))
            if sent == self._away:  # said once an outage
                self._away = not sent
                if sent:
                    log.info("spans are exported again")
                else:
                    log.warning("the collector of traces does not take spans; they are dropped")

    def close(self, within_s: float) -> None:
        """Sends what waits; after that time what is left is dropped."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(within_s)
        self._exporter.shutdown()

    def shutdown(self) -> None:
        """The SDK's own name for it; nobody of ours waits for it."""
        self.close(0)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 -- the SDK's
        """Nobody asks for it."""
        return not self._waiting
