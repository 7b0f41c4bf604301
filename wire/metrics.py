"""What a window says: an absolute value, keyed by metric, label, scope and window start: twice is once."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class Metric(StrEnum):
    """Each metric's window is fixed (WINDOW_S). Formulas, scopes and examples: docs/semantics.md."""

    # Sliding.
    EVENTS_PER_MINUTE = "events_per_minute"
    ACTIVE_STUDENTS = "active_students"  # distinct students with at least one event; 0 or 1 for a student
    ERROR_RATE = "error_rate"  # failures / attempts, 0..1; n = attempts, and with n = 0 it says nothing

    # How things stand at `as_of`; told with the minute they were seen in.
    PRESENT_STUDENTS = "present_students"
    IDLE_STUDENTS = "idle_students"  # present, and quiet for 3 min
    STRUGGLING_STUDENTS = "struggling_students"
    HELP_REQUESTS_OPEN = "help_requests_open"  # students waiting
    LONGEST_WAIT_S = "longest_wait_s"

    # A calendar hour, UTC.
    EVENTS_PER_HOUR = "events_per_hour"
    ACTIVE_STUDENTS_HOUR = "active_students_hour"
    ERROR_RATE_HOUR = "error_rate_hour"
    INGEST_DELAY_P95 = "ingest_delay_p95"  # seconds, by doubling buckets: at most this

    # A calendar day, UTC.
    EVENTS_BY_KIND = "events_by_kind"  # label = kind
    EVENTS_PER_DAY = "events_per_day"
    ACTIVE_STUDENTS_DAY = "active_students_day"
    ERROR_RATE_DAY = "error_rate_day"
    SCORE_MEAN = "score_mean"  # 0..1; n = scored events
    SCORE_HISTOGRAM = "score_histogram"  # label = lower end of the bin: 0.0 to 0.9
    TASK_PROGRESS = "task_progress"  # tasks completed, over students; label = q1, median or q3
    ATTEMPTS_PER_TASK = "attempts_per_task"  # over (student, task) pairs; n = pairs
    TIME_ON_TASK_S = "time_on_task_s"
    TEAM_SCORE = "team_score"  # mean of the best score over (member, task) pairs; n = pairs
    PARTICIPATION_BALANCE = "participation_balance"  # 0 one member does all .. 1 all do the same; n = members
    SESSIONS = "sessions"  # of a student
    ACTIVE_S = "active_s"  # of a student, within his sessions


MINUTE_S, FIVE_MINUTES_S, HOUR_S, DAY_S = 60, 300, 3_600, 86_400

WINDOW_S = {
    Metric.EVENTS_PER_MINUTE: MINUTE_S,
    Metric.ACTIVE_STUDENTS: FIVE_MINUTES_S,
    Metric.ERROR_RATE: FIVE_MINUTES_S,
    Metric.PRESENT_STUDENTS: MINUTE_S,
    Metric.IDLE_STUDENTS: MINUTE_S,
    Metric.STRUGGLING_STUDENTS: MINUTE_S,
    Metric.HELP_REQUESTS_OPEN: MINUTE_S,
    Metric.LONGEST_WAIT_S: MINUTE_S,
    Metric.EVENTS_PER_HOUR: HOUR_S,
    Metric.ACTIVE_STUDENTS_HOUR: HOUR_S,
    Metric.ERROR_RATE_HOUR: HOUR_S,
    Metric.INGEST_DELAY_P95: HOUR_S,
    Metric.EVENTS_BY_KIND: DAY_S,
    Metric.EVENTS_PER_DAY: DAY_S,
    Metric.ACTIVE_STUDENTS_DAY: DAY_S,
    Metric.ERROR_RATE_DAY: DAY_S,
    Metric.SCORE_MEAN: DAY_S,
    Metric.SCORE_HISTOGRAM: DAY_S,
    Metric.TASK_PROGRESS: DAY_S,
    Metric.ATTEMPTS_PER_TASK: DAY_S,
    Metric.TIME_ON_TASK_S: DAY_S,
    Metric.TEAM_SCORE: DAY_S,
    Metric.PARTICIPATION_BALANCE: DAY_S,
    Metric.SESSIONS: DAY_S,
    Metric.ACTIVE_S: DAY_S,
}


class State(StrEnum):
    """How much a window's value may still change. docs/semantics.md has the rule."""

    PROVISIONAL = "provisional"  # the watermark has not passed its end plus grace
    FINAL = "final"  # it has
    CORRECTED = "corrected"  # something changed it after that


# Live values slide by a pane; history keeps those windows that end on a whole minute (and every day).
HISTORY_STEP_MS = 60_000


# What no store could take is refused when it is read: control characters, a scope that is none (`wire.scopes`), times
# before the last day of 1969 (windows that end in 1970) or behind April 2262, where InfluxDB's nanoseconds end.
_ANY_SCOPE = (
    r"^(?:school:all|(?:(?:student|course):[^\x00-\x1f\x7f]*|team:[^\x00-\x1f\x7f]+/[^\x00-\x1f\x7f/]*(?!/))"
    r"[^\x00-\x1f\x7f\\])\Z"
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
    watermark_ms: TimeMs = 0  # no event before it is expected any more, of any student
    state: State = State.PROVISIONAL

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
