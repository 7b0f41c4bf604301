"""The gateway's own Prometheus metrics, and where they are told: `GET /metrics` (docs/metrics.md)."""

import os

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import Response

from gateway import problems
from gateway.security.gate import Gate
from gateway.security.limits import Limits

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # a folder, where several processes of the gateway add up theirs

LIVE_LATENCY = Histogram(
    "classpulse_live_latency_seconds",
    "From the newest event of a live update until it has got there.",
    ["at"],
    buckets=(0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1, 2, 5, 15, 60),
)

PROBE_LATENCY = Histogram(
    "classpulse_probe_latency_seconds",
    "From posting a probe until its update has come back as a viewer gets it.",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 30, 60),
)
PROBE_AGE = Gauge(
    "classpulse_probe_age_seconds",
    "How long ago the newest probe was posted that has come back, or the first one where none has.",
    multiprocess_mode="max",
)


def observe(at: str, delays_ms: list[int]) -> None:
    """`at`: `gateway`, `frame` or `paint`."""
    latency = LIVE_LATENCY.labels(at)
    for delay_ms in delays_ms:
        latency.observe(delay_ms / 1_000)


def router(gate: Gate, limits: Limits) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get(
        "/metrics",
        dependencies=[Depends(gate)],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **problems.documented(401, 403, 429, 503)},
    )
    @limits.reads
    async def metrics(request: Request) -> Response:  # noqa: ARG001 -- the limit's
        """What the gateway says of itself, for Prometheus; of all its processes where there are several."""
        registry = REGISTRY
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes
