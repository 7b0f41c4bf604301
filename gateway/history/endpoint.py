"""GET /api/v1/history/{scope}: what one metric of one scope was."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from gateway import problems
from gateway.history.store import HistoryAwayError, HistoryReader
from gateway.problems import ProblemError
from gateway.security.gate import Gate
from gateway.security.limits import Limits
from gateway.security.principal import Principal
from wire.events import Id, Kind
from wire.metrics import WINDOW_S, Metric, MetricPoint, State
from wire.partials import SCORE_BINS
from wire.scopes import Scope, ScopeKind

SPAN_MAX = timedelta(days=31)  # of minutes: 44,640 points, 8.2 MB, about a second of the store's CPU and ours
SPAN_DEFAULT = timedelta(minutes=60)
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(2262, 1, 1, tzinfo=UTC)  # InfluxDB counts nanoseconds in 64 bits, which end that year

# Which labels a metric has; no other metric has one.
LABELS: Mapping[Metric, tuple[str, ...]] = {
    Metric.EVENTS_BY_KIND: tuple(Kind),
    Metric.SCORE_HISTOGRAM: tuple(f"{number / SCORE_BINS:.1f}" for number in range(SCORE_BINS)),
    Metric.TASK_PROGRESS: ("q1", "median", "q3"),
}

_TIME_EXAMPLE = "2026-01-15T00:30:00Z"


class HistoryPoint(BaseModel):
    """A window, and what it says: `value`, with `n` events behind it, up to the event time `as_of`."""

    start: datetime
    end: datetime
    value: Annotated[float, Field(examples=[42.0])]
    n: Annotated[int, Field(examples=[42])]
    as_of: datetime
    state: Annotated[State, Field(description="how much it may still change")]
    watermark: Annotated[
        datetime | None, Field(description="no event before it was expected any more; null: none was known")
    ]


class History(BaseModel):
    scope: Annotated[str, Field(examples=["course:py101"])]
    metric: Metric
    label: str
    store: Annotated[str, Field(description="influxdb, or postgresql where there is none", examples=["influxdb"])]
    points: Annotated[
        list[HistoryPoint], Field(description="by time; a window that nothing happened in may be missing")
    ]


def router(
    reader: HistoryReader,
    gate: Gate,
    limits: Limits,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """`reader` is closed by whoever made it."""
    routes = APIRouter(tags=["history"])

    @routes.get(
        "/api/v1/history/{scope:path}",
        response_model=History,
        # Without a default FastAPI would describe its own 422, which is 400 here.
        responses=problems.documented(400, 401, 403, 429, 503) | {"default": problems.documented(500)[500]},
    )
    @limits.reads
    async def history(
        request: Request,
        who: Annotated[Principal, Depends(gate)],
        scope: Annotated[str, Path(examples=["course:py101"])],
        metric: Annotated[str, Query(examples=["events_per_minute"])],
        label: Annotated[str, Query(description=f"of {', '.join(LABELS)}: which one", examples=["code_run"])] = "",
        from_: Annotated[AwareDatetime | None, Query(alias="from", examples=[_TIME_EXAMPLE])] = None,
        to: Annotated[AwareDatetime | None, Query(examples=[_TIME_EXAMPLE])] = None,
    ) -> Response:
        """Windows that start in [`from`, `to`): the last 60 minutes where not told otherwise, or the last window of a
        metric whose windows are longer; 31 days at most."""
        wanted = _scope(scope)
        gate.check(request, who, wanted, "history")
        named = _metric(metric, label)
        start_ms, end_ms = _span(from_, to or clock(), timedelta(seconds=WINDOW_S[named]))
        try:
            points = await reader.read(str(wanted), named, label, start_ms, end_ms)
        except HistoryAwayError as error:
            raise problems.away(f"no history now: {error}") from error
        # A month takes a moment to write down, and live updates do not wait for it.
        content = await asyncio.to_thread(_written, wanted, named, label, reader.name, points)
        return Response(content, media_type="application/json")

    return routes


def _written(scope: Scope, metric: Metric, label: str, store: str, points: Sequence[MetricPoint]) -> bytes:
    """`History` as JSON, without the model's checks: they take three times as long, and these are our own values."""
    return msgspec.json.encode(
        {
            "scope": str(scope),
            "metric": metric,
            "label": label,
            "store": store,
            "points": [
                {
                    "start": _utc(point.start_ms),
                    "end": _utc(point.end_ms),
                    "value": point.value,
                    "n": point.n,
                    "as_of": _utc(point.as_of_ms),
                    "state": point.state,
                    "watermark": _utc(point.watermark_ms) if point.watermark_ms else None,
                }
                for point in points
            ],
        }
    )


def _scope(text: str) -> Scope:
    try:
        scope = Scope.parse(text)
        for part in scope.id.rsplit("/", 1) if scope.kind is ScopeKind.TEAM else [scope.id]:
            msgspec.convert(part, Id)
    except (ValueError, msgspec.ValidationError) as error:
        raise _bad("scope", str(error)) from None
    return scope


def _metric(metric: str, label: str) -> Metric:
    try:
        named = Metric(metric)
    except ValueError:
        raise _bad("metric", f"{metric!r} is none: expected {', '.join(Metric)}") from None
    labels = LABELS.get(named, ())
    if label and not labels:
        raise _bad("label", f"{metric} has none")
    if labels and label not in labels:
        raise _bad("label", f"{label!r} is none of {metric}: expected {', '.join(labels)}")
    return named


def _span(start: datetime | None, end: datetime, window: timedelta) -> tuple[int, int]:
    """Epoch milliseconds, the first before the second."""
    for name, moment in (("from", start), ("to", end)):
        if moment is not None and not FIRST <= moment <= LAST:
            raise _bad(name, f"{moment.isoformat()} is not between {FIRST.year} and {LAST.year}")
    if start is None:
        start = max(FIRST, end - max(SPAN_DEFAULT, window))
    start_ms, end_ms = round(start.timestamp() * 1000), round(end.timestamp() * 1000)
    if not start_ms < end_ms:
        raise _bad("from", f"{start.isoformat()} is not before `to`, {end.isoformat()}")
    if end - start > SPAN_MAX:
        raise _bad("from", f"{start.isoformat()} is more than {SPAN_MAX.days} days before `to`")
    return start_ms, end_ms


def _bad(parameter: str, reason: str) -> ProblemError:
    """As what FastAPI itself finds wrong is told."""
    return ProblemError(400, f"{parameter}: {reason}", errors=[{"field": parameter, "reason": reason}])


def _utc(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
