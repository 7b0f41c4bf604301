"""What a window says: an absolute value, keyed by metric, label, scope and window start: twice is once."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


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


# What no store could take is refused when it is read: control characters, a scope that is none (`wire.scopes`), times
# before the last day of 1969 (windows that end in 1970) or behind April 2262, where InfluxDB's nanoseconds end.
_ANY_SCOPE = (
    r"^(?:(?:student|course):[^\x00-\x1f\x7f]*|team:[^\x00-\x1f\x7f]+/[^\x00-\x1f\x7f/]*(?!/))[^\x00-\x1f\x7f\\]\Z"
)
ScopeText = Annotated[str, Meta(pattern=_ANY_SCOPE)]
Label = Annotated[str, Meta(pattern=r"^([^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\\])?\Z")]
TimeMs = Annotated[int, Meta(ge=-86_400_000, le=9_223_372_036_853)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
WindowS = Annotated[int, Meta(ge=1, le=86_400)]


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    metric: Metric
    label: Label = ""  # "" where the metric has no label
    window_s: WindowS
    start_ms: TimeMs  # the window is [start_ms, start_ms + window_s)
    value: float
    n: Count  # events behind the value (attempts for error_rate, students for help_requests_open)
    as_of_ms: TimeMs  # event time the value has seen

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.window_s * 1000

    @property
    def field(self) -> str:
        """Its name within a scope: `metric` or `metric:label`."""
        return f"{self.metric}:{self.label}" if self.label else self.metric.value


class ScopeUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one scope that changed together; keyed by scope in the topic `metrics`."""

    scope: ScopeText
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
