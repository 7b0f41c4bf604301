"""Is the gateway alive, is it ready, and how is everything it stands on: /livez, /readyz, /api/v1/health."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
import redis.asyncio as redis
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from gateway import problems, workers
from gateway.probes import DEADLINE_S, Finding, Probe
from gateway.security.gate import Gate
from gateway.security.limits import Limits
from wire.workers import Heartbeat

# What the door needs, if only for keys and a roster it has not read yet. Without Redis it works.
NEEDED = frozenset({"kafka", "postgresql"})


class Check(BaseModel):
    status: Literal["up", "down"]
    latency_ms: Annotated[float, Field(examples=[2.4])]
    detail: Annotated[str, Field(examples=["topic activity has 8 partitions, each with a leader"])]


class Health(BaseModel):
    """`unhealthy`: Kafka or PostgreSQL is away, which the door needs. `degraded`: something else is, or a pipeline has
    no ready worker."""

    status: Literal["healthy", "degraded", "unhealthy"]
    reasons: Annotated[list[str], Field(description="why it is not healthy", examples=[[]])]
    checked_at: datetime
    checks: Annotated[dict[str, Check], Field(description="kafka, postgresql, redis, history")]
    workers: Annotated[
        list[dict[str, Any]], Field(description="what each worker last said of itself, and `age_s`, how long ago")
    ]


class Ready(BaseModel):
    status: Literal["ready", "not ready"]
    reasons: Annotated[list[str], Field(examples=[[]])]


def router(
    probes: Sequence[Probe],
    client: "redis.Redis",
    gate: Gate,
    limits: Limits,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """`gate` and `limits` are for /api/v1/health, which tells more than a stranger should know."""
    routes = APIRouter(tags=["health"])

    async def ask(names: frozenset[str]) -> dict[str, Finding]:
        """In parallel; takes DEADLINE_S at most."""
        asked = [probe for probe in probes if probe.name in names]
        found = await asyncio.gather(*(probe.finding() for probe in asked))
        return {probe.name: finding for probe, finding in zip(asked, found, strict=True)}

    @routes.get("/livez")
    async def livez() -> dict[str, str]:
        """The event loop turns."""
        return {"status": "alive"}

    @routes.get("/readyz", responses={503: {"model": Ready}})
    async def readyz(response: Response) -> Ready:
        """Kafka and PostgreSQL, which the door needs, answer as they should."""
        reasons = _away(await ask(NEEDED))
        response.status_code = 503 if reasons else 200
        return Ready(status="not ready" if reasons else "ready", reasons=reasons)

    refusals = problems.documented(401, 403, 429, 503)
    refusals[503]["model"] = Health  # or a problem, where PostgreSQL would have to say who asks

    @routes.get("/api/v1/health", dependencies=[Depends(gate)], responses=refusals)
    @limits.reads
    async def health(request: Request, response: Response) -> Health:  # noqa: ARG001 -- the limit's
        """Each server is really asked, within 1.5 s, and every worker is listed. 503 while unhealthy."""
        found, beats = await asyncio.gather(ask(frozenset(probe.name for probe in probes)), _beats(client))
        now = clock()
        reasons = _away(found)
        if found["redis"].up:
            reasons += [f"{app}: no worker is ready" for app in workers.idle_pipelines(beats)]
        if limits.away is not None:
            reasons.append(f"rate limits: each gateway counts for itself, as Redis is away: {limits.away}")
        unhealthy = any(not found[name].up for name in NEEDED)
        response.status_code = 503 if unhealthy else 200
        return Health(
            status="unhealthy" if unhealthy else "degraded" if reasons else "healthy",
            reasons=reasons,
            checked_at=now,
            checks={
                name: Check(status="up" if it.up else "down", latency_ms=it.latency_ms, detail=it.detail)
                for name, it in found.items()
            },
            workers=[
                {**msgspec.to_builtins(beat), "age_s": round(max(0.0, now.timestamp() - beat.sent_at_ms / 1000), 3)}
                for beat in beats
            ],
        )

    return routes


def _away(found: Mapping[str, Finding]) -> list[str]:
    return [f"{name}: {finding.detail}" for name, finding in found.items() if not finding.up]


async def _beats(client: "redis.Redis") -> list[Heartbeat]:
    """None where Redis is away or slow; the check of Redis says so."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await workers.heartbeats(client)
    except (RedisError, OSError, TimeoutError):
        return []
