"""What tracing says of itself, told with the metrics of the process it is in."""

from prometheus_client import Counter

SPANS = Counter("classpulse_spans_total", "Spans of traces that ended, by what became of them.", ["outcome"])
EXPORTED, FULL, FAILED = (SPANS.labels(outcome) for outcome in ("exported", "full", "failed"))
