"""/api/v1/admin/trace: what became of one event, for admins."""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.security import HTTPBearer
from pydantic import AwareDatetime
from starlette.requests import Request

from gateway import problems
from gateway.admin.reading import KafkaAwayError, NotAllReadError, NotThereError
from gateway.admin.trace_views import TraceView, trace_view
from gateway.admin.tracing import Question, trace
from gateway.problems import ProblemError
from gateway.security.gate import Gate
from gateway.security.limits import Limits, address
from gateway.security.principal import Principal

TIMEOUT_S = 10.0  # the search has six of them: some 600,000 records
SINCE_MS = 2 * 3_600_000  # before now
ID_MAX = 1_000  # characters: an event whose id is too long for one may be looked for too


def router(
    kafka: str, gate: Gate, limits: Limits, clock_ms: Callable[[], int] = lambda: int(time.time() * 1000)
) -> APIRouter:
    """`kafka`: bootstrap servers."""
    bearer = Depends(HTTPBearer(scheme_name="api_key", auto_error=False))  # only tells OpenAPI
    routes = APIRouter(tags=["admin"], dependencies=[bearer])
    one_at_a_time = asyncio.Lock()  # it keeps a core busy

    @routes.get(
        "/api/v1/admin/trace/{event_id:path}",  # an id may hold slashes
        # Without a default FastAPI would describe its own 422, which is 400 here.
        responses=problems.documented(400, 401, 403, 404, 429, 503) | {"default": problems.documented(500)[500]},
    )
    @limits.reads
    async def trace_event(
        request: Request,
        who: Annotated[Principal, Depends(gate)],
        event_id: Annotated[
            str, Path(min_length=1, max_length=ID_MAX, examples=["5d3c3f0e-6f0b-4a52-8d3e-0a6d5f1c2b3a"])
        ],
        student: Annotated[
            str | None, Query(max_length=ID_MAX, description="whose it is: much quicker", examples=["s001"])
        ] = None,
        since: Annotated[
            AwareDatetime | None,
            Query(description="accepted then or later; 2 hours ago where not told", examples=["2026-01-15T00:30:00Z"]),
        ] = None,
    ) -> TraceView:
        """What became of one event: where it lies in Kafka, who acknowledged it, whether it was counted, a duplicate,
        late or dead, and which windows it is in."""
        gate.read(who, "trace", f"event:{event_id}", address(request))
        now_ms = clock_ms()
        since_ms = now_ms - SINCE_MS if since is None else round(since.timestamp() * 1000)
        async with one_at_a_time:
            try:
                found = await trace(kafka, Question(event_id, since_ms, now_ms, student), TIMEOUT_S)
            except NotThereError as error:
                raise ProblemError(404, str(error)) from None
            except (KafkaAwayError, NotAllReadError) as error:
                raise problems.away(str(error)) from error
        return trace_view(found)

    return routes
