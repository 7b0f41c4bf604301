"""GET /api/v1/dashboard/overview: everybody and everything at one glance, from Redis (now) and the roster (names)."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import msgspec
import redis.asyncio as redis
import structlog
from fastapi import APIRouter, Depends, Request
from redis.exceptions import RedisError

from gateway import problems
from gateway.database import DatabaseAwayError
from gateway.overview import ASKED, EACH_MAX, Now, Overview, Who, joined
from gateway.roster import Roster, RosterCopy
from gateway.security.gate import Gate
from gateway.security.limits import Limits, address
from gateway.security.principal import Principal
from wire import channels, metrics
from wire.metrics import MetricPoint
from wire.scopes import Scope, ScopeKind

log = structlog.get_logger(__name__)

SCOPES_PER_TRIP = 500  # asked of Redis at once, so that others get their turn


def router(
    client: "redis.Redis",
    copy: RosterCopy,
    gate: Gate,
    limits: Limits,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """`client` and `copy` are started and stopped by whoever made them."""
    routes = APIRouter(tags=["dashboard"])

    @routes.get("/api/v1/dashboard/overview", responses=problems.documented(401, 403, 429, 503))
    @limits.reads
    async def overview(request: Request, viewer: Annotated[Principal, Depends(gate)]) -> Overview:
        """Whoever is on the roster, silent or not, and whoever sent something, on the roster or not; of these, whom the
        viewer may see. Names of students are for teachers and admins."""
        gate.read(viewer, "overview", "", address(request))
        try:
            roster = copy.roster
            who, truncated = await present(client, roster, lambda scope: viewer.may_see(scope, copy))
            found = await newest(client, [Scope.school(), *(scope for scopes in who.values() for scope in scopes)])
        except (RedisError, OSError, TimeoutError, DatabaseAwayError) as error:
            raise problems.away(f"no overview now: {error}") from error
        return joined(roster, who, found, viewer, truncated=truncated, now=clock())

    return routes


async def present(client: "redis.Redis", roster: Roster, may_see: Callable[[Scope], bool]) -> tuple[Who, bool]:
    """Whom to show: of each kind the roster's, then those lately seen; and whether some had to be left out.

    Raises redis.RedisError or OSError.
    """
    listed: dict[ScopeKind, Iterable[Scope]] = {
        ScopeKind.COURSE: map(Scope.course, sorted(roster.courses)),
        ScopeKind.TEAM: (Scope.team(*ids) for ids in sorted(roster.teams)),
        ScopeKind.STUDENT: map(Scope.student, sorted(roster.students)),
    }
    async with client.pipeline(transaction=False) as pipeline:
        for kind in listed:
            pipeline.zrevrange(channels.seen(kind), 0, EACH_MAX)  # one more than EACH_MAX
        seen = dict(zip(listed, await pipeline.execute(), strict=True))
    who = {}
    for kind, scopes in listed.items():
        both = dict.fromkeys([*scopes, *(Scope(kind, id_.decode()) for id_ in seen[kind])])
        who[kind] = list(islice(filter(may_see, both), EACH_MAX + 1))
    truncated = any(len(scopes) > EACH_MAX for scopes in who.values())
    return {kind: scopes[:EACH_MAX] for kind, scopes in who.items()}, truncated


async def newest(client: "redis.Redis", scopes: Sequence[Scope]) -> dict[Scope, Now]:
    """What Redis has of each scope. Raises redis.RedisError or OSError."""
    found = {}
    for first in range(0, len(scopes), SCOPES_PER_TRIP):
        some = scopes[first : first + SCOPES_PER_TRIP]
        async with client.pipeline(transaction=False) as pipeline:
            for scope in some:
                pipeline.hmget(channels.now(str(scope)), ASKED[scope.kind])
                pipeline.zscore(channels.seen(scope.kind), scope.id)
            answers = await pipeline.execute()
        for scope, values, seen_ms in zip(some, answers[::2], answers[1::2], strict=True):
            named = zip(ASKED[scope.kind], values, strict=True)
            points = {metric: point for metric, value in named if (point := _point(value))}
            found[scope] = Now(points, None if seen_ms is None else int(seen_ms))
    return found


def _point(value: bytes | None) -> MetricPoint | None:
    """None where there is none, or none that can be read: one bad value does not hide the others."""
    try:
        return None if value is None else metrics.decode_point(value)
    except msgspec.DecodeError as error:
        log.warning("a value in Redis cannot be read", error=str(error))
        return None
