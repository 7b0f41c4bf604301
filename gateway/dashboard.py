"""GET /api/v1/dashboard/overview: everybody and everything at one glance, from Redis (now) and the roster (names)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, NamedTuple

import msgspec
import redis.asyncio as redis
import structlog
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from gateway import problems
from gateway.database import DatabaseAwayError
from gateway.roster import Roster, RosterCopy
from gateway.security.access import DashboardAccess
from gateway.security.limits import Limits
from wire import channels, metrics
from wire.metrics import Metric, MetricPoint
from wire.scopes import Scope, ScopeKind

log = structlog.get_logger(__name__)

EACH_MAX = 2_000  # students, and teams, and courses: a page of more is no glance, and 2 MB
SCOPES_PER_TRIP = 500  # asked of Redis at once, so that others get their turn

SHOWN = (Metric.EVENTS_PER_MINUTE, Metric.ACTIVE_STUDENTS, Metric.ERROR_RATE, Metric.HELP_REQUESTS_OPEN)


class Value(BaseModel):
    """The newest window of one metric. `error_rate` with `n` = 0 says nothing."""

    value: Annotated[float, Field(examples=[42.0])]
    n: Annotated[int, Field(description="events behind it", examples=[42])]
    window_s: Annotated[int, Field(examples=[60])]
    start: datetime
    end: datetime
    as_of: Annotated[datetime, Field(description="the event time it has seen")]
    age_s: Annotated[float, Field(description="how long ago that is", examples=[3.2])]


class _Shown(BaseModel):
    scope: Annotated[str, Field(examples=["course:py101"])]
    name: Annotated[str | None, Field(description="null: not on the roster")]
    on_roster: bool
    values: dict[Metric, Value]


class CourseNow(_Shown):
    course_id: str
    students: Annotated[int, Field(description="on the roster")]
    active: Annotated[int, Field(description="students active in the newest 5 minutes")]


class TeamNow(CourseNow):
    team_id: str


class Enrolment(BaseModel):
    course_id: str
    team_id: str | None


class StudentNow(_Shown):
    student_id: str
    enrolments: list[Enrolment]
    active: Annotated[bool, Field(description="in the newest 5 minutes")]
    waiting: Annotated[bool, Field(description="for help")]
    last_seen: Annotated[datetime | None, Field(description="null: never")]


class Overview(BaseModel):
    as_of: datetime
    truncated: Annotated[bool, Field(description=f"more than {EACH_MAX} of a kind: the rest is left out")]
    courses: list[CourseNow]
    teams: list[TeamNow]
    students: Annotated[list[StudentNow], Field(description="those on the roster, then the newest of the others")]


class Now(NamedTuple):
    """What Redis knows of one scope."""

    points: Mapping[Metric, MetricPoint]
    last_seen_ms: int | None

    def latest(self, metric: Metric) -> int:
        """Of a metric that counts; 0 where Redis has none."""
        point = self.points.get(metric)
        return 0 if point is None else int(point.value)


def router(
    client: "redis.Redis",
    copy: RosterCopy,
    access: DashboardAccess,
    limits: Limits,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """`client` and `copy` are started and stopped by whoever made them."""
    routes = APIRouter(tags=["dashboard"], dependencies=[Depends(access)])

    @routes.get("/api/v1/dashboard/overview", responses=problems.documented(403, 429, 503))
    @limits.reads
    async def overview(request: Request) -> Overview:  # noqa: ARG001 -- the limit's
        """Whoever is on the roster, silent or not, and whoever sent something, on the roster or not."""
        try:
            roster = copy.roster
            who, truncated = await present(client, roster)
            found = await newest(client, [scope for scopes in who.values() for scope in scopes])
        except (RedisError, OSError, TimeoutError, DatabaseAwayError) as error:
            raise problems.away(f"no overview now: {error}") from error
        return joined(roster, who, found, truncated=truncated, now=clock())

    return routes


Who = Mapping[ScopeKind, Sequence[Scope]]


async def present(client: "redis.Redis", roster: Roster) -> tuple[Who, bool]:
    """Whom to show: of each kind the roster's, then those lately seen; and whether some had to be left out.

    Raises redis.RedisError or OSError.
    """
    async with client.pipeline(transaction=False) as pipeline:
        for kind in ScopeKind:
            pipeline.zrevrange(channels.seen(kind), 0, EACH_MAX)  # one more than EACH_MAX
        seen = dict(zip(ScopeKind, await pipeline.execute(), strict=True))
    listed: dict[ScopeKind, Iterable[Scope]] = {
        ScopeKind.COURSE: map(Scope.course, sorted(roster.courses)),
        ScopeKind.TEAM: (Scope.team(*ids) for ids in sorted(roster.teams)),
        ScopeKind.STUDENT: map(Scope.student, sorted(roster.students)),
    }
    who = {}
    for kind, scopes in listed.items():
        both = dict.fromkeys([*scopes, *(Scope(kind, id_.decode()) for id_ in seen[kind])])
        who[kind] = list(islice(both, EACH_MAX + 1))
    truncated = any(len(scopes) > EACH_MAX for scopes in who.values())
    return {kind: scopes[:EACH_MAX] for kind, scopes in who.items()}, truncated


async def newest(client: "redis.Redis", scopes: Sequence[Scope]) -> dict[Scope, Now]:
    """What Redis has of each scope. Raises redis.RedisError or OSError."""
    found = {}
    for first in range(0, len(scopes), SCOPES_PER_TRIP):
        some = scopes[first : first + SCOPES_PER_TRIP]
        async with client.pipeline(transaction=False) as pipeline:
            for scope in some:
                pipeline.hmget(channels.now(str(scope)), list(SHOWN))
                pipeline.zscore(channels.seen(scope.kind), scope.id)
            answers = await pipeline.execute()
        for scope, values, seen_ms in zip(some, answers[::2], answers[1::2], strict=True):
            points = {metric: point for metric, value in zip(SHOWN, values, strict=True) if (point := _point(value))}
            found[scope] = Now(points, None if seen_ms is None else int(seen_ms))
    return found


def _point(value: bytes | None) -> MetricPoint | None:
    """None where there is none, or none that can be read: one bad value does not hide the others."""
    try:
        return None if value is None else metrics.decode_point(value)
    except msgspec.DecodeError as error:
        log.warning("a value in Redis cannot be read", error=str(error))
        return None


def joined(roster: Roster, who: Who, found: Mapping[Scope, Now], *, truncated: bool, now: datetime) -> Overview:
    """What Redis knows, with the names and the silent ones of the roster. Pure."""
    members: Counter[Scope] = Counter()
    enrolments: defaultdict[str, list[Enrolment]] = defaultdict(list)
    listed = {scope.id for scope in who[ScopeKind.STUDENT]}
    for (course_id, student_id), team_id in sorted(roster.enrolments.items()):
        if student_id in listed:
            enrolments[student_id].append(Enrolment(course_id=course_id, team_id=team_id))
        members[Scope.course(course_id)] += 1
        if team_id is not None:
            members[Scope.team(course_id, team_id)] += 1

    def shown(scope: Scope, name: str | None) -> dict[str, Any]:
        values = {metric: _value(point, now) for metric, point in found[scope].points.items()}
        return {"scope": str(scope), "name": name, "on_roster": name is not None, "values": values}

    def course(scope: Scope) -> CourseNow:
        return CourseNow(
            course_id=scope.id,
            students=members[scope],
            active=found[scope].latest(Metric.ACTIVE_STUDENTS),
            **shown(scope, roster.courses.get(scope.id)),
        )

    def team(scope: Scope) -> TeamNow:
        course_id, _, team_id = scope.id.rpartition("/")
        return TeamNow(
            course_id=course_id,
            team_id=team_id,
            students=members[scope],
            active=found[scope].latest(Metric.ACTIVE_STUDENTS),
            **shown(scope, roster.teams.get((course_id, team_id))),
        )

    def student(scope: Scope) -> StudentNow:
        seen_ms = found[scope].last_seen_ms
        return StudentNow(
            student_id=scope.id,
            enrolments=enrolments[scope.id],
            active=found[scope].latest(Metric.ACTIVE_STUDENTS) > 0,
            waiting=found[scope].latest(Metric.HELP_REQUESTS_OPEN) > 0,
            last_seen=None if seen_ms is None else _utc(seen_ms),
            **shown(scope, roster.students.get(scope.id)),
        )

    return Overview(
        as_of=now,
        truncated=truncated,
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
    )


def _utc(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
