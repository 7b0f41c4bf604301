"""What a viewer sees at one glance: the newest values, with the names and the silent ones of the roster. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from gateway.roster import Roster
from gateway.security.principal import Principal
from wire.metrics import Metric, MetricPoint, State
from wire.scopes import Scope, ScopeKind

EACH_MAX = 2_000  # students, and teams, and courses: a page of more is no glance, and 2.5 MB

_OF_EACH = (Metric.EVENTS_PER_MINUTE, Metric.ACTIVE_STUDENTS, Metric.ERROR_RATE, Metric.HELP_REQUESTS_OPEN)
_OF_MANY = (Metric.PRESENT_STUDENTS, Metric.IDLE_STUDENTS, Metric.STRUGGLING_STUDENTS, Metric.LONGEST_WAIT_S)
ASKED: Mapping[ScopeKind, tuple[Metric, ...]] = {
    ScopeKind.STUDENT: (*_OF_EACH, *_OF_MANY),
    ScopeKind.TEAM: (*_OF_EACH, *_OF_MANY),
    ScopeKind.COURSE: (*_OF_EACH, *_OF_MANY),
    ScopeKind.SCHOOL: (*_OF_EACH, *_OF_MANY),
}


class Value(BaseModel):
    """The newest window of one metric. `error_rate` with `n` = 0 says nothing."""

    value: Annotated[float, Field(examples=[42.0])]
    n: Annotated[int, Field(description="events behind it", examples=[42])]
    window_s: Annotated[int, Field(examples=[60])]
    start: datetime
    end: datetime
    as_of: Annotated[datetime, Field(description="the event time it has seen")]
    age_s: Annotated[float, Field(description="how long ago that is", examples=[3.2])]
    state: Annotated[State, Field(description="how much it may still change")]
    watermark: Annotated[
        datetime | None, Field(description="no event before it was expected any more; null: none was known")
    ]


class _Valued(BaseModel):
    scope: Annotated[str, Field(examples=["course:py101"])]
    values: dict[Metric, Value]


class _Named(_Valued):
    name: Annotated[str | None, Field(description="null: not on the roster, or not for the viewer to see")]
    on_roster: bool


class _Many(_Valued):
    students: Annotated[int, Field(description="on the roster")]
    active: Annotated[int, Field(description="students active in the newest 5 minutes")]
    present: Annotated[int | None, Field(description="students who are there; null: the pipelines have not said")]
    idle: Annotated[int | None, Field(description="of those present, the quiet; null likewise")]
    struggling: Annotated[int | None, Field(description="who fail at one task again and again; null likewise")]
    longest_wait_s: Annotated[float | None, Field(description="of those who wait for help; null likewise")]


class SchoolNow(_Many):
    """Everybody once, in however many courses."""


class CourseNow(_Named, _Many):
    course_id: str


class TeamNow(CourseNow):
    team_id: str


class Enrolment(BaseModel):
    course_id: str
    team_id: str | None


class StudentNow(_Named):
    student_id: str
    enrolments: list[Enrolment]
    active: Annotated[bool, Field(description="in the newest 5 minutes")]
    present: Annotated[bool | None, Field(description="is there; null: the pipelines have not said")]
    idle: Annotated[bool | None, Field(description="is there, and quiet; null likewise")]
    struggling: Annotated[bool, Field(description="fails at one task again and again")]
    waiting: Annotated[bool, Field(description="for help")]
    waiting_s: Annotated[float | None, Field(description="for so long; null: not waiting, or nobody has said")]
    last_seen: Annotated[datetime | None, Field(description="null: never")]


class Overview(BaseModel):
    as_of: datetime
    truncated: Annotated[bool, Field(description=f"more than {EACH_MAX} of a kind: the rest is left out")]
    school: Annotated[SchoolNow | None, Field(description="null: the viewer sees some courses only")]
    courses: list[CourseNow]
    teams: list[TeamNow]
    students: Annotated[list[StudentNow], Field(description="those on the roster, then the newest of the others")]


class Now(NamedTuple):
    """What Redis knows of one scope."""

    points: Mapping[Metric, MetricPoint]
    last_seen_ms: int | None

    def value(self, metric: Metric) -> float | None:
        point = self.points.get(metric)
        return None if point is None else point.value

    def true(self, metric: Metric) -> bool | None:
        value = self.value(metric)
        return None if value is None else bool(value)

    def whole(self, metric: Metric) -> int | None:
        value = self.value(metric)
        return None if value is None else int(value)


Who = Mapping[ScopeKind, Sequence[Scope]]  # courses, teams and students


def joined(
    roster: Roster, who: Who, found: Mapping[Scope, Now], viewer: Principal, *, truncated: bool, now: datetime
) -> Overview:
    """What Redis knows, with the names and the silent ones of the roster, as far as they are for the viewer. `who`
    holds nobody else."""
    members: Counter[Scope] = Counter()
    enrolments: defaultdict[str, list[Enrolment]] = defaultdict(list)
    listed = {scope.id for scope in who[ScopeKind.STUDENT]}
    for (course_id, student_id), team_id in sorted(roster.enrolments.items()):
        if student_id in listed and (student_id == viewer.student_id or viewer.has_team(course_id, team_id)):
            enrolments[student_id].append(Enrolment(course_id=course_id, team_id=team_id))
        members[Scope.course(course_id)] += 1
        if team_id is not None:
            members[Scope.team(course_id, team_id)] += 1

    def valued(scope: Scope) -> dict[str, Any]:
        points = found[scope].points
        # Of each student the rest is told in a word: whole values of it would be another megabyte.
        listed = _OF_EACH if scope.kind is ScopeKind.STUDENT else ASKED[scope.kind]
        values = {metric: _value(points[metric], now) for metric in listed if metric in points}
        return {"scope": str(scope), "values": values}

    def named(name: str | None) -> dict[str, Any]:
        return {"name": name, "on_roster": name is not None}

    def many(scope: Scope, students: int) -> dict[str, Any]:
        held = found[scope]
        return valued(scope) | {
            "students": students,
            "active": held.whole(Metric.ACTIVE_STUDENTS) or 0,
            "present": held.whole(Metric.PRESENT_STUDENTS),
            "idle": held.whole(Metric.IDLE_STUDENTS),
            "struggling": held.whole(Metric.STRUGGLING_STUDENTS),
            "longest_wait_s": held.value(Metric.LONGEST_WAIT_S),
        }

    def course(scope: Scope) -> CourseNow:
        name = roster.courses.get(scope.id)
        return CourseNow(course_id=scope.id, **named(name), **many(scope, members[scope]))

    def team(scope: Scope) -> TeamNow:
        course_id, _, team_id = scope.id.rpartition("/")
        name = roster.teams.get((course_id, team_id))
        return TeamNow(course_id=course_id, team_id=team_id, **named(name), **many(scope, members[scope]))

    def student(scope: Scope) -> StudentNow:
        held = found[scope]
        waiting = bool(held.value(Metric.HELP_REQUESTS_OPEN))
        return StudentNow(
            student_id=scope.id,
            enrolments=enrolments[scope.id],
            active=bool(held.value(Metric.ACTIVE_STUDENTS)),
            present=held.true(Metric.PRESENT_STUDENTS),
            idle=held.true(Metric.IDLE_STUDENTS),
            struggling=bool(held.value(Metric.STRUGGLING_STUDENTS)),
            waiting=waiting,
            waiting_s=held.value(Metric.LONGEST_WAIT_S) if waiting else None,
            last_seen=None if held.last_seen_ms is None else _utc(held.last_seen_ms),
            name=roster.students.get(scope.id) if viewer.sees_names else None,
            on_roster=scope.id in roster.students,
            **valued(scope),
        )

    return Overview(
        as_of=now,
        truncated=truncated,
        school=SchoolNow(**many(Scope.school(), len(roster.students))) if viewer.courses is None else None,
        courses=[course(scope) for scope in who[ScopeKind.COURSE]],
        teams=[team(scope) for scope in who[ScopeKind.TEAM]],
        students=[student(scope) for scope in who[ScopeKind.STUDENT]],
    )


def _value(point: MetricPoint, now: datetime) -> Value:
    return Value(
        value=point.value,
        n=point.n,
        window_s=point.window_s,
        start=_utc(point.start_ms),
        end=_utc(point.end_ms),
        as_of=(as_of := _utc(point.as_of_ms)),
        age_s=max(0.0, (now - as_of).total_seconds()),  # a producer's clock may be ahead
        state=point.state,
        watermark=_utc(point.watermark_ms) if point.watermark_ms else None,
    )


def _utc(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
