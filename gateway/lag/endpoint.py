"""/api/v1/admin/consumers and /topics: how the consumer groups do, and what lies in Kafka, for admins and sre."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from fastapi.security import HTTPBearer
from starlette.requests import Request

from gateway import problems
from gateway.lag import views
from gateway.lag.sampler import Sampler
from gateway.lag.views import Clock, ConsumersView, LagView, TopicsView
from gateway.paging import Limit, page
from gateway.problems import ProblemError
from gateway.security.gate import Gate
from gateway.security.limits import Limits
from wire.topics import Topic

After = Annotated[
    str | None,
    Query(description="`next` of the page before", pattern=r"^[A-Za-z0-9._-]{1,260}$", examples=["activity-7"]),
]


def router(
    sampler: Sampler,
    groups: Mapping[str, Sequence[str]],
    topics: Mapping[str, Topic],
    gate: Gate,
    limits: Limits,
    clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
) -> APIRouter:
    """`groups`: each with the topics it reads. Nothing is asked of Kafka here: what the sampler saw last is told."""
    bearer = Depends(HTTPBearer(scheme_name="api_key", auto_error=False))  # only tells OpenAPI
    routes = APIRouter(tags=["admin"], prefix="/api/v1/admin", dependencies=[bearer, Depends(gate)])
    default: dict[int | str, dict[str, Any]] = {
        "default": problems.documented(500)[500]
    }  # else FastAPI would describe its own 422, which is 400 here

    def clock() -> Clock:
        return Clock(time.monotonic(), clock_ms())

    @routes.get("/consumers", responses=problems.documented(401, 403, 429, 503) | default)
    @limits.reads
    async def consumers(request: Request) -> ConsumersView:  # noqa: ARG001 -- the limit's
        """Each consumer group with its verdict and why, the worst first, and what has changed lately. As seen within
        the last 2 s, or `away` says why not."""
        return views.consumers(sampler.view, groups, list(sampler.changes), sampler.away, clock())

    @routes.get("/consumers/{group}/lag", responses=problems.documented(400, 401, 403, 404, 429, 503) | default)
    @limits.reads
    async def lag(
        request: Request,  # noqa: ARG001 -- the limit's
        group: Annotated[str, Path(examples=["aggregate"])],
        limit: Limit = 100,
        after: After = None,
    ) -> LagView:
        """Where a group stands in each partition it reads: lag in records and seconds, rates, what is left of the
        retention, what is lost, and the verdict with its cause."""
        view = sampler.view
        if group not in view.groups:
            raise ProblemError(404, f"there is no consumer group {group!r}; there are {', '.join(sorted(view.groups))}")
        rows = {f"{one.place.topic}-{one.place.partition}": one for one in view.partitions[group]}
        some, further = page(list(rows), limit, after, str)
        at = clock()
        found = (views.partition(rows[name], at) for name in some)
        return LagView(
            group=views.group(view.groups[group], groups.get(group, ()), at),
            partitions=[one for one in found if one is not None],
            next=further,
        )

    @routes.get("/topics", responses=problems.documented(400, 401, 403, 429, 503) | default)
    @limits.reads
    async def all_topics(request: Request, limit: Limit = 100, after: After = None) -> TopicsView:  # noqa: ARG001
        """Every topic of topics.yaml as Kafka has it: partitions, retention, records, what comes a second, and who
        reads it. As seen within the last 15 s, or `away` says why not."""
        some, further = page(list(topics), limit, after, str)
        found = [views.topic(topics[name], sampler.extents.get(name), groups, sampler.view) for name in some]
        return TopicsView(away=sampler.away, topics=found, next=further)

    return routes
