"""How fast this process of the gateway is, and what lies before it, as the API tells it."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from gateway.ingest.publisher import Publisher
from gateway.ingest.spool import Spool
from gateway.lag.sampler import Sampler
from gateway.live.doors import Doors
from gateway.live.feed import Feed
from gateway.live.figures import watched
from gateway.live.session import ACK_WITHIN_S
from gateway.oncall.meters import Meters
from gateway.oncall.pulse import Pulse, rss_bytes
from gateway.oncall.spread import Spread
from gateway.oncall.status import at
from gateway.oncall.timing import Figures, Timings
from wire import topics

WAYS_IN = (
    *("POST /api/v1/events", "POST /xapi/statements", "PUT /xapi/statements"),
    *("POST /ingest/jupyter", "POST /ingest/caliper"),
)
FOLDS = "aggregate"  # the consumer group

Seconds = Annotated[float | None, Field(description="null: there was none")]


class RatesView(BaseModel):
    accepted: Annotated[
        float, Field(description="events a second that Kafka acknowledged to this process; last minute")
    ]
    accepted_total: Annotated[int, Field(description="since it started")]
    arriving: Annotated[float, Field(description="records a second that come to `activity`, of all gateways")]
    folded: Annotated[float, Field(description="records a second of `activity` that are folded and committed")]
    deliveries: Annotated[float, Field(description="writes to viewers a second; last minute")]


class LatencyView(BaseModel):
    stage: Annotated[
        str,
        Field(
            description="door: until the answer to a post begins; probe: from the door until a viewer has it; gateway, "
            "frame, paint: from a live event until it is written, there, and on the screen",
            examples=["door"],
        ),
    ]
    count: int
    mean_s: Seconds
    p50_s: Seconds
    p95_s: Seconds
    p99_s: Seconds


class QueueView(BaseModel):
    queue: Annotated[str, Field(examples=["publisher"])]
    about: str
    size: int
    limit: Annotated[int | None, Field(description="null: bounded by what it is made of")]
    unit: Annotated[str, Field(examples=["bytes"])]


class LoopView(BaseModel):
    """How late the event loop woke, in the last minute."""

    now_s: Seconds
    p50_s: Seconds
    p99_s: Seconds
    worst_s: Seconds


class GarbageView(BaseModel):
    """Since the process started."""

    generation: int
    collections: int
    collected: Annotated[int, Field(description="objects")]
    pauses_s: Annotated[float, Field(description="in all")]
    worst_s: float


class FanOutView(BaseModel):
    viewers: int
    scopes: Annotated[int, Field(description="that somebody watches")]
    subscriptions: int
    deliveries: Annotated[int, Field(description="writes to viewers since the process started")]
    behind: Annotated[int, Field(description="viewers who have not been given all there is")]


class RouteView(BaseModel):
    """Until the answer begins; of the last 5 to 10 minutes."""

    route: Annotated[str, Field(examples=["POST /api/v1/events"])]
    count: int
    failed: Annotated[int, Field(description="answered 500 or more, or not at all")]
    total_s: Annotated[float, Field(description="in all: by this they are ordered")]
    mean_s: Seconds
    p50_s: Seconds
    p95_s: Seconds
    p99_s: Seconds
    worst_s: float


class Performance(BaseModel):
    """Of one process, but for the latencies of probes and live values where several share a port."""

    pid: int
    started: datetime
    rates: RatesView
    latencies: Annotated[list[LatencyView], Field(description="of the last 5 to 10 minutes, by stage")]
    queues: list[QueueView]
    under_way: Annotated[int, Field(description="requests whose answer has not begun")]
    loop_lag: LoopView
    garbage: list[GarbageView]
    rss_bytes: Annotated[int | None, Field(description="memory; null: the system does not tell it")]
    fan_out: FanOutView
    routes: Annotated[list[RouteView], Field(description="that took longest in all first")]
    next: Annotated[str | None, Field(description="`after` of the next page of routes; null: this is the last")]


@dataclass(frozen=True)
class Sources:
    """What is asked."""

    meters: Meters
    timings: Timings
    pulse: Pulse
    publisher: Publisher
    spool: Spool | None
    feed: Feed
    doors: Doors
    sampler: Sampler


def view(of: Sources, page: Sequence[Figures], next_: str | None) -> Performance:
    """`page`: of the routes. For the gateway's own loop."""
    now_s = time.monotonic()
    of.meters.look()
    latencies = of.meters.latencies()
    door = of.timings.of(WAYS_IN, now_s)
    seen = watched(of.feed.fanout, asyncio.get_running_loop().time(), ACK_WITHIN_S)
    lag = of.pulse.loop_lag
    extent = of.sampler.extents.get(topics.ACTIVITY)
    return Performance(
        pid=os.getpid(),
        started=at(of.pulse.started_s * 1000),
        rates=RatesView(
            accepted=round(of.meters.accepted.per_s(now_s), 2),
            accepted_total=of.meters.accepted.total,
            arriving=round(extent.rate_in or 0.0, 2) if extent is not None else 0.0,
            folded=round(_folded(of.sampler), 2),
            deliveries=round(of.meters.deliveries.per_s(now_s), 2),
        ),
        latencies=[_latency(stage, spread) for stage, spread in {"door": door, **latencies}.items()],
        queues=_queues(of),
        under_way=of.timings.under_way,
        loop_lag=LoopView(**lag._asdict()) if lag else LoopView(now_s=None, p50_s=None, p99_s=None, worst_s=None),
        garbage=[
            GarbageView(
                generation=one.generation,
                collections=one.collections,
                collected=one.collected,
                pauses_s=one.pauses_s,
                worst_s=one.worst_s,
            )
            for one in of.pulse.collections
        ],
        rss_bytes=rss_bytes(),
        fan_out=FanOutView(
            viewers=of.doors.viewers,
            scopes=seen.scopes.total(),
            subscriptions=seen.kinds.total(),
            deliveries=of.feed.fanout.deliveries,
            behind=seen.behind,
        ),
        routes=[_route(one) for one in page],
        next=next_,
    )


def _folded(sampler: Sampler) -> float:
    """Records a second, over the partitions of `activity`."""
    measures = [
        judged.verdict.measures
        for judged in sampler.view.partitions.get(FOLDS, ())
        if judged.place.topic == topics.ACTIVITY
    ]
    return sum(told.rate_out for told in measures if told is not None)


def _queues(of: Sources) -> list[QueueView]:
    found = [
        QueueView(
            queue="publisher",
            about="events that Kafka has not acknowledged",
            size=of.publisher.under_way_bytes,
            limit=of.publisher.under_way_max_bytes,
            unit="bytes",
        ),
        QueueView(queue="feed", about="scopes to be read from Redis", size=of.feed.due, limit=None, unit="scopes"),
    ]
    if of.spool is not None:
        about = f"events on the disk until Kafka is back, in {of.spool.batches:,} batches"
        size, limit = of.spool.held_bytes, of.spool.max_bytes
        found.append(QueueView(queue="spool", about=about, size=size, limit=limit, unit="bytes"))
    return found


def _latency(stage: str, of: Spread) -> LatencyView:
    return LatencyView(stage=stage, count=of.count, **_quantiles(of))


def _route(one: Figures) -> RouteView:
    return RouteView(
        route=one.route,
        count=one.spread.count,
        failed=one.failed,
        total_s=round(one.spread.total_s, 6),
        worst_s=round(one.worst_s, 6),
        **_quantiles(one.spread),
    )


def _quantiles(of: Spread) -> dict[str, float | None]:
    told = {"mean_s": of.mean_s, **{f"p{share:.0f}_s": of.quantile_s(share / 100) for share in (50.0, 95.0, 99.0)}}
    return {name: None if value is None else round(value, 6) for name, value in told.items()}
