"""The workers as the API tells them, each as it said itself. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from gateway import workers
from gateway.oncall.status import at
from gateway.probes import Finding
from wire.workers import Heartbeat


class WorkerView(BaseModel):
    worker_id: str
    pipeline: Annotated[str, Field(examples=["aggregate"])]
    version: str
    pid: int
    web_port: Annotated[int, Field(description="serves /readyz and /metrics")]
    ready: bool
    reason: Annotated[str, Field(description='why it is not; ""')]
    held_by: Annotated[str, Field(description='the store that it waits for, and what that says; "": none')]
    paused: Annotated[str, Field(description='by whom it is, until when, and why; "": it is not')]
    age_s: Annotated[float, Field(description="since its last heartbeat, which comes every 2 s")]
    started: datetime
    partitions: Annotated[dict[str, list[int]], Field(description="by topic")]
    handled: Annotated[int, Field(description="records since it started")]
    last_progress: Annotated[datetime | None, Field(description="when it last finished a record; null: never")]
    lag: Annotated[int, Field(description="records that it has not fetched")]
    loop_lag_ms: Annotated[float, Field(description="how late its event loop woke, at worst of the last 2 s")]
    loop_lag_worst_ms: Annotated[float, Field(description="of the last minute")]
    batch_for_ms: Annotated[int | None, Field(description="its oldest batch is under way so long; null: none is")]


class PipelineView(BaseModel):
    pipeline: str
    workers: int
    ready: int
    says: Annotated[str, Field(description='what is wrong; "": nothing', examples=["there is no worker"])]


class WorkerStatus(BaseModel):
    away: Annotated[str, Field(description='why heartbeats cannot be read; "": they can', examples=[""])]
    seen: Annotated[datetime, Field(description="as of when")]
    pipelines: Annotated[list[PipelineView], Field(description="all there should be")]
    missing: Annotated[list[str], Field(description="pipelines without a worker that is ready")]
    workers: Annotated[list[WorkerView], Field(description="by pipeline and id")]
    next: Annotated[str | None, Field(description="`after` of the next page; null: this is the last")]


def view(
    beats: Sequence[Heartbeat], asked: Finding, page: Sequence[Heartbeat], next_: str | None, now_ms: int
) -> WorkerStatus:
    """`asked`: what became of reading them."""
    return WorkerStatus(
        away="" if asked.up else asked.detail,
        seen=at(asked.asked_at * 1000),
        pipelines=[_pipeline(app, beats) for app in workers.PIPELINES] if asked.up else [],
        missing=list(workers.idle_pipelines(beats)) if asked.up else [],
        workers=[_worker(beat, now_ms) for beat in page],
        next=next_,
    )


def _pipeline(app: str, beats: Sequence[Heartbeat]) -> PipelineView:
    of = [beat for beat in beats if beat.app == app]
    ready = sum(beat.ready and not beat.paused for beat in of)
    said = "; ".join(f"{beat.worker_id}: {beat.reason or beat.paused}" for beat in of)
    says = "" if ready else said or "there is no worker"
    return PipelineView(pipeline=app, workers=len(of), ready=ready, says=says)


def _worker(beat: Heartbeat, now_ms: int) -> WorkerView:
    return WorkerView(
        worker_id=beat.worker_id,
        pipeline=beat.app,
        version=beat.version,
        pid=beat.pid,
        web_port=beat.web_port,
        ready=beat.ready,
        reason=beat.reason,
        held_by=beat.held_by,
        paused=beat.paused,
        age_s=max(0, now_ms - beat.sent_at_ms) / 1000,
        started=at(beat.started_at_ms),
        partitions=beat.partitions,
        handled=beat.events_handled,
        last_progress=None if beat.last_progress_ms is None else at(beat.last_progress_ms),
        lag=beat.lag_records,
        loop_lag_ms=beat.loop_lag_ms,
        loop_lag_worst_ms=beat.loop_lag_worst_ms,
        batch_for_ms=beat.batch_for_ms,
    )
