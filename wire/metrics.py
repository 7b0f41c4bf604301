"""What a window says: an absolute value, keyed by metric, label, scope and window start: twice is once."""

from enum import StrEnum

import msgspec


class Metric(StrEnum):
    """Each metric's window is fixed (WINDOW_S). Formulas and examples: docs/semantics.md."""

    EVENTS_PER_MINUTE = "events_per_minute"
    ACTIVE_STUDENTS = "active_students"  # distinct students with at least one event; 0 or 1 for a student
    ERROR_RATE = "error_rate"  # failures / attempts, 0..1; n = attempts, and with n = 0 it says nothing
    HELP_REQUESTS_OPEN = "help_requests_open"  # students waiting at `as_of`
    EVENTS_BY_KIND = "events_by_kind"  # label = kind; a calendar day, UTC


WINDOW_S = {
    Metric.EVENTS_PER_MINUTE: 60,
    Metric.ACTIVE_STUDENTS: 300,
    Metric.ERROR_RATE: 300,
    Metric.HELP_REQUESTS_OPEN: 60,
    Metric.EVENTS_BY_KIND: 86_400,
}

# Live values slide by a pane; history keeps those windows that end on a whole minute (and every day).
HISTORY_STEP_MS = 60_000


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    metric: Metric
    label: str = ""  # "" where the metric has no label
    window_s: int
    start_ms: int  # the window is [start_ms, start_ms + window_s)
    value: float
    n: int  # events behind the value (attempts for error_rate, students for help_requests_open)
    as_of_ms: int  # event time the value has seen

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.window_s * 1000

    @property
    def field(self) -> str:
        """Its name within a scope: `metric` or `metric:label`."""
        return f"{self.metric}:{self.label}" if self.label else self.metric.value


class ScopeUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one scope that changed together; keyed by scope in the topic `metrics`."""

    scope: str
    points: list[MetricPoint]


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(ScopeUpdate)
_point_decoder = msgspec.json.Decoder(MetricPoint)


def decode(data: bytes) -> ScopeUpdate:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)


def decode_point(data: bytes | str) -> MetricPoint:
    """One point as it lies in Redis. Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _point_decoder.decode(data)
