"""/api/v1/admin/audit: whether everything accepted is accounted for, for admins."""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.security import HTTPBearer
from pydantic import AwareDatetime
from starlette.requests import Request

from gateway import problems
from gateway.admin.audit import find
from gateway.admin.audit_views import AuditView, audit_view
from gateway.admin.reading import KafkaAwayError
from gateway.security.gate import Gate
from gateway.security.limits import Limits

TIMEOUT_S = 10.0  # some 500,000 balances
SINCE_MS = 3_600_000  # before now


def router(
    kafka: str, gate: Gate, limits: Limits, clock_ms: Callable[[], int] = lambda: int(time.time() * 1000)
) -> APIRouter:
    """`kafka`: bootstrap servers."""
    bearer = Depends(HTTPBearer(scheme_name="api_key", auto_error=False))  # only tells OpenAPI
    routes = APIRouter(tags=["admin"], dependencies=[bearer, Depends(gate)])
    one_at_a_time = asyncio.Lock()  # a question may hold 60 MB

    @routes.get(
        "/api/v1/admin/audit",
        # Without a default FastAPI would describe its own 422, which is 400 here.
        responses=problems.documented(400, 401, 403, 429, 503) | {"default": problems.documented(500)[500]},
    )
    @limits.reads
    async def audit(
        request: Request,  # noqa: ARG001 -- the limit's
        since: Annotated[
            AwareDatetime | None,
            Query(description="accepted then or later; an hour ago where not told", examples=["2026-01-15T00:30:00Z"]),
        ] = None,
    ) -> AuditView:
        """What doors have accepted and what became of it, per partition and minute, and what does not add up."""
        since_ms = clock_ms() - SINCE_MS if since is None else round(since.timestamp() * 1000)
        async with one_at_a_time:
            try:
                found = await find(kafka, since_ms, TIMEOUT_S)
            except KafkaAwayError as error:
                raise problems.away(str(error)) from error
        return audit_view(found)

    return routes
