"""The windows that an event counts in, and what they say: as docs/semantics.md has it, scope by scope. Pure."""

from typing import NamedTuple

from wire.events import ActivityEvent
from wire.metrics import DAY_S, FIVE_MINUTES_S, HISTORY_STEP_MS, HOUR_S, MINUTE_S, WINDOW_S, Metric
from wire.scopes import Scope, ScopeKind

# How far from one window to the next, as history has them.
_STEP_MS = {
    MINUTE_S: HISTORY_STEP_MS,
    FIVE_MINUTES_S: HISTORY_STEP_MS,
    HOUR_S: HOUR_S * 1000,
    DAY_S: DAY_S * 1000,
}  # fmt: skip

# How students stand is told with the minute it was seen in, which need not be one that the event is in.
_STANDING = {
    Metric.PRESENT_STUDENTS,
    Metric.IDLE_STUDENTS,
    Metric.STRUGGLING_STUDENTS,
    Metric.HELP_REQUESTS_OPEN,
    Metric.LONGEST_WAIT_S,
}

_OF_MANY = {ScopeKind.TEAM, ScopeKind.COURSE, ScopeKind.SCHOOL}
_ONLY_OF = {  # the others are told of every scope
    Metric.EVENTS_PER_HOUR: _OF_MANY,
    Metric.ACTIVE_STUDENTS_HOUR: _OF_MANY,
    Metric.ERROR_RATE_HOUR: _OF_MANY,
    Metric.INGEST_DELAY_P95: {ScopeKind.SCHOOL},
    Metric.SCORE_HISTOGRAM: _OF_MANY,
    Metric.TEAM_SCORE: {ScopeKind.TEAM},
    Metric.PARTICIPATION_BALANCE: {ScopeKind.TEAM},
    Metric.SESSIONS: {ScopeKind.STUDENT},
    Metric.ACTIVE_S: {ScopeKind.STUDENT},
}


class Span(NamedTuple):
    """The windows of one length."""

    window_s: int
    starts_ms: list[int]
    metrics: dict[str, list[Metric]]  # by scope


def windows_of(event: ActivityEvent) -> list[Span]:
    """The shortest first."""
    scopes = [Scope.student(event.student_id), Scope.course(event.course_id), Scope.school()]
    if event.team_id is not None:
        scopes.insert(1, Scope.team(event.course_id, event.team_id))
    spans = []
    for window_s, step_ms in _STEP_MS.items():
        newest_ms = event.occurred_at_ms // step_ms * step_ms
        starts_ms = list(range(newest_ms + step_ms - window_s * 1000, newest_ms + 1, step_ms))
        metrics = {str(scope): _metrics(scope.kind, window_s) for scope in scopes}
        spans.append(Span(window_s, starts_ms, {scope: names for scope, names in metrics.items() if names}))
    return spans


def _metrics(kind: ScopeKind, window_s: int) -> list[Metric]:
    return [
        metric
        for metric, of_s in WINDOW_S.items()
        if of_s == window_s and metric not in _STANDING and kind in _ONLY_OF.get(metric, ScopeKind)
    ]
