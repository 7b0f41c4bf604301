"""The gateway's own Prometheus metrics, and where they are told: `GET /metrics` (docs/metrics.md)."""

import os
from functools import cache

from fastapi import APIRouter, Depends, Request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
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

# What each process that watches the consumer groups thinks of them is about the same thing: the newest is told.
_PLACE = ["group", "topic", "partition"]

GROUP_LAG = Gauge(
    "kafka_consumergroup_group_lag",
    "Records that the group has not read and committed.",
    _PLACE,
    multiprocess_mode="mostrecent",
)
GROUP_LAG_SECONDS = Gauge(
    "kafka_consumergroup_group_lag_seconds",
    "Age of the first record that it has not; 0 where there is none, NaN where it is not known.",
    _PLACE,
    multiprocess_mode="mostrecent",
)
GROUP_MARGIN = Gauge(
    "classpulse_consumergroup_retention_margin_seconds",
    "Time until that record may be deleted; +Inf where there is none, or it is kept for good.",
    _PLACE,
    multiprocess_mode="mostrecent",
)
GROUP_LOST = Gauge(
    "classpulse_consumergroup_records_lost",
    "Records deleted before the group had read them, since the gateway began to watch.",
    _PLACE,
    multiprocess_mode="mostrecent",
)
GROUP_VERDICT = Gauge(
    "classpulse_consumergroup_verdict",
    "1 for what is thought of the group, 0 for everything else.",
    ["group", "verdict"],
    multiprocess_mode="mostrecent",
)
GROUPS_SEEN = Gauge(
    "classpulse_consumergroups_seen_timestamp_seconds",
    "When the consumer groups could last be looked at.",
    multiprocess_mode="mostrecent",
)

# Each process knows the same of all, as PostgreSQL adds it up: the newest is told.
OBJECTIVE_SHARE = Gauge(
    "classpulse_objective_share",
    "Good ones of all, of 30 days, as the gateway counts them itself; NaN where there were none.",
    ["objective"],
    multiprocess_mode="mostrecent",
)
OBJECTIVE_BUDGET = Gauge(
    "classpulse_objective_budget_left",
    "Of what may fail in 30 days: 1 is all, below 0 more than all is spent; NaN where there is no budget.",
    ["objective"],
    multiprocess_mode="mostrecent",
)
OBJECTIVE_BURN = Gauge(
    "classpulse_objective_burn_rate",
    "Share of bad ones in the window over the share allowed; NaN as for the budget.",
    ["objective", "window"],
    multiprocess_mode="mostrecent",
)

HTTP_REQUESTS = Counter("classpulse_http_requests_total", "Requests answered.", ["route", "method", "status_class"])
HTTP_SECONDS = Histogram(
    "classpulse_http_request_duration_seconds",
    "From a request until its answer begins.",
    ["route", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
OTHER = "other"  # whatever else a client may make up
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


def count(route: str, method: str, status: int, took_s: float) -> None:
    """A request that has been answered: its route's template, or OTHER."""
    requests, seconds = _of(route, method if method in _METHODS else OTHER, f"{status // 100}xx")
    requests.inc()
    seconds.observe(took_s)


@cache  # as many as there are routes, methods and classes; finding them by their labels takes longer than to count
def _of(route: str, method: str, status_class: str) -> tuple[Counter, Histogram]:
    return HTTP_REQUESTS.labels(route, method, status_class), HTTP_SECONDS.labels(route, method)


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
