"""/api/v1/admin/system-status and what belongs to it: for admins and sre. Nothing is asked of a server here that is
not asked every few seconds anyway."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway import problems, workers
from gateway.live.figures import watched
from gateway.live.session import ACK_WITHIN_S
from gateway.oncall import audience, crew, exported, performance, rationing, status
from gateway.oncall.audience import Viewers
from gateway.oncall.crew import WorkerStatus
from gateway.oncall.exported import Number
from gateway.oncall.lookout import Lookout
from gateway.oncall.performance import Performance, Sources
from gateway.oncall.places import Pipeline
from gateway.oncall.rationing import RateLimitStatus
from gateway.oncall.status import SystemStatus
from gateway.paging import Limit, page
from gateway.probes import Probe
from gateway.security.gate import Gate
from gateway.security.limits import Limits

NAME_MAX = 500  # of a page's last; a worker's id has a host's name in it, a limit's key an address and a policy

After = Annotated[
    str | None, Query(description="`next` of the page before", min_length=1, max_length=NAME_MAX, examples=[None])
]


class SampleView(BaseModel):
    name: Annotated[str, Field(examples=["classpulse_probe_age_seconds"])]
    labels: dict[str, str]
    value: Number


class MetricView(BaseModel):
    name: Annotated[str, Field(examples=["classpulse_probe_age_seconds"])]
    type: Annotated[str, Field(examples=["gauge"])]
    help: str
    samples: list[SampleView]


class MetricsView(BaseModel):
    metrics: Annotated[list[MetricView], Field(description="by name; the same numbers as GET /metrics")]
    total: Annotated[int, Field(description="metrics that there are")]
    next: Annotated[str | None, Field(description="`after` of the next page; null: this is the last")]


def router(
    lookout: Lookout,
    heartbeats: Probe,
    seen: workers.Seen,
    sources: Sources,
    draw: Callable[[], Awaitable[Pipeline]],
    processes: int,
    gate: Gate,
    limits: Limits,
    clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
) -> APIRouter:
    """`heartbeats`: asks by `seen`. `processes`: of the gateway on its port."""
    bearer = Depends(HTTPBearer(scheme_name="api_key", auto_error=False))  # only tells OpenAPI
    routes = APIRouter(tags=["admin"], prefix="/api/v1/admin", dependencies=[bearer, Depends(gate)])
    responses: dict[int | str, dict[str, Any]] = problems.documented(400, 401, 403, 429, 503) | {
        "default": problems.documented(500)[500]  # else FastAPI would describe its own 422, which is 400 here
    }

    @routes.get("/system-status", responses=responses)
    @limits.reads
    async def system_status(
        request: Request,  # noqa: ARG001 -- the limit's
        limit: Limit = 50,
        before: Annotated[
            int | None, Query(ge=1, le=2**53, description="`next` of the page before", examples=[None])
        ] = None,
    ) -> SystemStatus:
        """One verdict for the whole, why, since when, what works all the same, and what has changed in the last hour:
        from the servers, the consumer groups, the workers, the probe and the audit, as this process sees them."""
        return status.view(await lookout.newest(), lookout.changes, clock_ms(), limit, before)

    @routes.get("/pipeline", responses=responses)
    @limits.reads
    async def pipeline(request: Request) -> Pipeline:  # noqa: ARG001
        """The pipeline as the page draws it: door, topics, consumer groups, stores and viewers with rate, lag and
        verdict at each, what has changed in the last hour, and the last errors. Live it is the scope `oncall`."""
        return await draw()

    @routes.get("/worker-status", responses=responses)
    @limits.reads
    async def worker_status(
        request: Request,  # noqa: ARG001
        limit: Limit = 100,
        after: After = None,
    ) -> WorkerStatus:
        """What each worker said of itself last, how long ago, and which pipelines have none that is ready."""
        asked = await heartbeats.finding()
        beats = seen.beats if asked.up else []
        some, further = page(beats, limit, after if beats else None, lambda beat: beat.worker_id)
        return crew.view(beats, asked, some, further, clock_ms())

    @routes.get("/performance", responses=responses)
    @limits.reads
    async def performance_(
        request: Request,  # noqa: ARG001
        limit: Limit = 20,
        after: After = None,
    ) -> Performance:
        """Rates, latencies by stage, queues, the event loop, garbage, memory, the fan-out, and what each route takes,
        of the process that answers."""
        found = sources.timings.figures(time.monotonic())
        some, further = page(found, limit, after, lambda one: one.route)
        return performance.view(sources, some, further)

    @routes.get("/rate-limits", responses=responses)
    @limits.reads
    async def rate_limits(
        request: Request,  # noqa: ARG001
        limit: Limit = 50,
        after: After = None,
    ) -> RateLimitStatus:
        """What is allowed, whether the gateways count together, and who is at a limit now."""
        full = limits.full()
        some, further = page(full, limit, after, lambda one: one[0].key)
        return rationing.view(limits.rates, limits.away, some, len(full), further)

    @routes.get("/viewers", responses=responses)
    @limits.reads
    async def viewers(
        request: Request,  # noqa: ARG001
        limit: Limit = 50,
        after: After = None,
    ) -> Viewers:
        """How many watch what kind of scope, from where, and how well they keep up: of the process that answers."""
        some, further = page(sources.doors.addresses(), limit, after, lambda one: one[0])
        figures = watched(sources.feed.fanout, asyncio.get_running_loop().time(), ACK_WITHIN_S)
        return audience.view(sources.feed, sources.doors, figures, processes, some, further)

    @routes.get("/metrics", responses=responses)
    @limits.reads
    async def metrics(
        request: Request,  # noqa: ARG001
        limit: Limit = 50,
        after: After = None,
    ) -> MetricsView:
        """The numbers of GET /metrics as JSON, metric by metric: of all processes where there are several."""
        found = exported.families()
        some, further = page(found, limit, after, lambda family: family.name)
        told = [
            MetricView(
                name=family.name,
                type=family.type,
                help=family.documentation,
                samples=[
                    SampleView(name=one.name, labels=dict(one.labels), value=exported.number(one.value))
                    for one in family.samples
                ],
            )
            for family in some
        ]
        return MetricsView(metrics=told, total=len(found), next=further)

    return routes
