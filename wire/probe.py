"""The gateway's own event: it goes the way of every event, from the door to a viewer, and is in no number.

A probe is an ActivityEvent of a student whom nobody sees, in a course of that name. Fold judges it as folded and passes
it on as an Echo: it has no place in a sum, moves no event time, and makes nobody late, so a replay of an old year goes
as it goes without. Merge makes an update of it, `live` writes that, and the gateway that sent it gets it as any viewer
does. History leaves it out. Its ids are reserved: the door takes them from nobody.
"""

import msgspec

from wire.events import ActivityEvent, Kind
from wire.metrics import HOUR_S, Metric, MetricPoint, ScopeText, ScopeUpdate
from wire.scopes import Scope

COURSE = "classpulse.probe"
PREFIX = "classpulse.probe."  # of the students' ids
# So many that each partition of each topic on the way has one of them, and goes on being tried.
STUDENTS = tuple(f"{PREFIX}{number}" for number in range(32))
SCOPES = tuple(str(Scope.student(student)) for student in STUDENTS)

_SCOPE_PREFIX = str(Scope.student(PREFIX))


class Echo(msgspec.Struct, kw_only=True, frozen=True, tag="echo"):
    """What fold passes on in `partials`, keyed by scope: a probe has been folded."""

    scope: ScopeText
    door: str  # which process sent it
    sent_ms: int  # by that one's clock


def is_reserved(student_id: str, course_id: str) -> bool:
    return student_id.startswith(PREFIX) or course_id == COURSE


def is_probe(student_id: str) -> bool:
    return student_id.startswith(PREFIX)


def is_scope(scope: str) -> bool:
    return scope.startswith(_SCOPE_PREFIX)


def event(event_id: str, door: str, number: int, now_ms: int) -> ActivityEvent:
    """The probe `number`; one follows on another by students."""
    return ActivityEvent(
        event_id=event_id,
        student_id=STUDENTS[number % len(STUDENTS)],
        course_id=COURSE,
        kind=Kind.OTHER,
        occurred_at_ms=now_ms,
        received_at_ms=now_ms,
        source=door,
    )


def update(echo: Echo, now_ms: int) -> ScopeUpdate:
    """What merge tells: how late this one event has come to it, by whom it was sent. The metrics are what students do,
    and none is made for this."""
    start_ms = echo.sent_ms - echo.sent_ms % (HOUR_S * 1000)
    late_s = max(0, now_ms - echo.sent_ms) / 1000
    point = MetricPoint(
        metric=Metric.INGEST_DELAY_P95, label=echo.door, window_s=HOUR_S, start_ms=start_ms, value=late_s, n=1,
        as_of_ms=echo.sent_ms,
    )  # fmt: skip
    return ScopeUpdate(scope=echo.scope, points=[point])


def sent_ms(values: list[MetricPoint], door: str) -> list[int]:
    """When the probes of a door were sent that a frame of a probe's scope tells of."""
    return [point.as_of_ms for point in values if point.label == door]
