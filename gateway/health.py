"""Is the gateway alive, has it started, is it ready, and how is everything: /livez, /startupz, /readyz, /api/v1/health.

Servers are asked in the background and in parallel (`probes`): who asks here is told what was found last, and when, so
that one which hangs holds up no answer. The format is that of draft-inadarei-api-health-check-06, with members of our
own beside its.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import JSONResponse

from gateway import abilities, problems, workers
from gateway.abilities import KAFKA, POSTGRESQL, REDIS
from gateway.canary import Round
from gateway.findings import Check, Health, Ready, Started, Works, of_probe, of_server, of_workers, worker
from gateway.probes import Finding, Probe
from gateway.security.gate import Gate
from gateway.security.limits import Limits
from wire.workers import Heartbeat

# What the door needs, if only for keys and a roster it has not read yet. Without Redis it works.
NEEDED = (KAFKA, POSTGRESQL)


# `?verbose`, as Kubernetes has it, is no boolean of OpenAPI's.
_VERBOSE = {
    "name": "verbose",
    "in": "query",
    "schema": {"type": "string", "default": "false"},
    "description": "`?verbose`: every server, with since when and how fast",
}


class HealthJson(JSONResponse):
    media_type = "application/health+json"


def router(
    probes: Sequence[Probe],
    seen: workers.Seen,
    heartbeats: Probe,
    canary: Callable[[], Round | None],
    gate: Gate,
    limits: Limits,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """`heartbeats`: asks by `seen`. `canary`: what its last round said; None: there are none. `gate` and `limits` are
    for /api/v1/health, which tells more than a stranger should know."""
    routes = APIRouter(tags=["health"])
    servers = {probe.name: probe for probe in probes}

    async def ask(names: Sequence[str]) -> dict[str, Finding]:
        found = await asyncio.gather(*(servers[name].finding() for name in names))
        return dict(zip(names, found, strict=True))

    @routes.get("/livez")
    async def livez() -> dict[str, str]:
        """The event loop turns."""
        return {"status": "alive"}

    @routes.get("/startupz", responses={503: {"model": Started}})
    async def startupz(response: Response) -> Started:
        """Kafka and PostgreSQL have answered this process once. From then on it says so, whatever comes."""
        found = await ask(NEEDED)
        reasons = [f"{name}: {found[name].detail}" for name in NEEDED if not servers[name].was_up]
        response.status_code = 503 if reasons else 200
        return Started(status="starting" if reasons else "started", reasons=reasons)

    @routes.get(
        "/readyz",
        responses={503: {"model": Ready}},
        response_model_exclude_none=True,
        openapi_extra={"parameters": [_VERBOSE]},
    )
    async def readyz(request: Request, response: Response) -> Ready:
        """Kafka and PostgreSQL, which the door needs, answer as they should."""
        wanted = request.query_params.get("verbose", "false").lower() not in ("false", "0", "no")
        found = await ask(list(servers) if wanted else NEEDED)
        reasons = _away({name: found[name] for name in NEEDED})
        response.status_code = 503 if reasons else 200
        return Ready(
            status="not ready" if reasons else "ready",
            reasons=reasons,
            checks=_servers(found) if wanted else None,
        )

    refusals = problems.documented(401, 403, 429, 503)
    refusals[503]["model"] = Health  # or a problem, where PostgreSQL would have to say who asks

    @routes.get(
        "/api/v1/health",
        dependencies=[Depends(gate)],
        response_class=HealthJson,
        responses=refusals,
        response_model_exclude_none=True,
    )
    @limits.reads
    async def health(request: Request, response: Response) -> Health:  # noqa: ARG001 -- the limit's
        """How each server, each worker and the way from the door to a viewer are, as of a few seconds ago at most: each
        says when. `fail` (and 503): Kafka or PostgreSQL is away, which the door needs. `warn`: something else is, no
        worker of a pipeline is ready, or probes do not come back; `works` says what goes on all the same."""
        found, asked = await asyncio.gather(ask(list(servers)), heartbeats.finding())
        beats = seen.beats if asked.up else []
        now, round_ = clock(), canary()
        missing = abilities.missing(found, workers.idle_pipelines(beats) if asked.up else {})
        reasons = [f"{name.removeprefix('worker ')}: {why}" for name, why in missing.items()]
        if found[REDIS].up and not asked.up:
            reasons.append(f"workers: {asked.detail}")
        if limits.away is not None:
            reasons.append(f"rate limits: each gateway counts for itself, as Redis is away: {limits.away}")
        checks = _servers(found) | _pipelines(beats, now, known=asked.up)
        if round_ is not None:
            checks |= of_probe(round_, now)
            if round_.is_late:
                reasons.append(f"probe: {checks['probe:age'][0].output}")
        failed = any(not found[name].up for name in NEEDED)
        response.status_code = 503 if failed else 200
        return Health(
            status="fail" if failed else "warn" if reasons else "pass",
            reasons=reasons,
            checked_at=now,
            checks=checks,
            works=[Works(**standing._asdict()) for standing in abilities.standings(missing)],
            workers=[worker(beat, now) for beat in beats],
        )

    return routes


def _away(found: Mapping[str, Finding]) -> list[str]:
    return [f"{name}: {finding.detail}" for name, finding in found.items() if not finding.up]


def _servers(found: Mapping[str, Finding]) -> dict[str, list[Check]]:
    return {f"{name}:responseTime": [of_server(name, finding)] for name, finding in found.items()}


def _pipelines(beats: list[Heartbeat], now: datetime, *, known: bool) -> dict[str, list[Any]]:
    """Nothing where heartbeats cannot be read: the check of Redis says so."""
    return {f"{app}:workers": of_workers(app, beats, now) for app in workers.PIPELINES} if known else {}
