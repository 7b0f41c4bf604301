"""History out of InfluxDB 2, as `wire.history` lays it there."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
from influxdb_client import Dialect
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync

from gateway.history.store import TIMEOUT_S, HistoryAwayError
from wire.metrics import Metric, MetricPoint, State
from wire.scopes import Scope

# Every value is a parameter, sent beside the query as parsed literals: no id can end a string and go on as Flux.
# The first filter is done by the storage engine; `label` is not always there, and is looked at in what that leaves.
_READ = """
from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == metric and r.scope == scope)
  |> filter(fn: (r) => (if exists r.label then r.label else "") == label)
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> keep(columns: ["_time", "value", "n", "as_of_ms", "window_s", "state", "watermark_ms"])
  |> group()
  |> sort(columns: ["_time"])
"""
_EVERYTHING = """
from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r.scope == scope)
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> keep(columns: [
    "_time", "_measurement", "label", "value", "n", "as_of_ms", "window_s", "state", "watermark_ms"
  ])
  |> group()
"""
# Of one series: of all, it would be a row for each of the tens of thousands that the last minute has.
_CHECK = """
from(bucket: bucket)
  |> range(start: -1m)
  |> filter(fn: (r) => r._measurement == metric and r.scope == scope and r._field == "value")
  |> limit(n: 1)
"""
# Fields become visible one by one: a point that lacks one of these is just being written.
_WHOLE = ("value", "n", "as_of_ms", "window_s")
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_PLAIN_CSV = Dialect(header=True, annotations=[])


class InfluxReader:
    name = "influxdb"

    def __init__(self, url: str, token: str, org: str, bucket: str) -> None:
        """Opens nothing; the first question does."""
        self._url = url
        self._token = token
        self._org = org
        self._bucket = bucket
        self._client: Any = None

    async def read(self, scope: str, metric: Metric, label: str, start_ms: int, end_ms: int) -> list[MetricPoint]:
        text = await self._ask(
            _READ, scope=scope, metric=metric.value, label=label, start=_utc(start_ms), stop=_utc(end_ms)
        )
        # A month takes a moment to read, and live updates do not wait for it.
        return await asyncio.to_thread(_points, text, metric, label)

    async def everything(self, scope: str) -> list[MetricPoint]:
        text = await self._ask(_EVERYTHING, scope=scope, start=_FIRST, stop=_LAST)
        points = await asyncio.to_thread(_points, text)
        return sorted(points, key=lambda point: (point.metric, point.label, point.start_ms))

    async def erase(self, scope: str) -> None:
        """Needs a token that may write."""
        async with self._asking() as client:
            predicate = f'scope="{_escaped(scope)}"'
            await client.delete_api().delete(_FIRST, _LAST, predicate, self._bucket, self._org)

    async def check(self) -> str:
        _rows(await self._ask(_CHECK, metric=Metric.EVENTS_PER_MINUTE.value, scope=str(Scope.school())))
        return f"InfluxDB, bucket {self._bucket}"

    async def _ask(self, flux: str, **parameters: Any) -> str:
        """The answer as CSV. Raises HistoryAwayError."""
        async with self._asking() as client:
            bound = {"bucket": self._bucket, **parameters}
            return str(await client.query_api().query_raw(flux, dialect=_PLAIN_CSV, params=bound))

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Any]:
        """Raises HistoryAwayError for whatever goes wrong with it within."""
        if self._client is None:  # made here, because it must be made in the loop it is used in
            self._client = InfluxDBClientAsync(
                self._url, token=self._token, org=self._org, timeout=int(TIMEOUT_S * 1000)
            )
        try:
            yield self._client
        except InfluxDBError as error:
            raise HistoryAwayError(f"InfluxDB refuses: {error.message}") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise HistoryAwayError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


def _points(text: str, metric: Metric | None = None, label: str | None = None) -> list[MetricPoint]:
    """`metric`, `label`: what all are of; None: as each row says."""
    return [
        MetricPoint(
            metric=metric or Metric(row["_measurement"]),
            label=row.get("label", "") if label is None else label,
            window_s=int(row["window_s"]),
            start_ms=round(datetime.fromisoformat(row["_time"]).timestamp() * 1000),
            value=float(row["value"]),
            n=int(row["n"]),
            as_of_ms=int(row["as_of_ms"]),
            # Without these it was written before there were any.
            state=State(row.get("state") or State.PROVISIONAL),
            watermark_ms=int(row.get("watermark_ms") or 0),
        )
        for row in _rows(text)
        if all(map(row.get, _WHOLE))
    ]


def _rows(text: str) -> list[dict[str, str]]:
    """Raises HistoryAwayError."""
    rows = list(csv.DictReader(io.StringIO(text)))
    if rows and "error" in rows[0]:  # a query that fails half way says so in its answer's body, after a 200
        raise HistoryAwayError(f"InfluxDB cannot answer: {rows[0]['error']}")
    return rows


def _escaped(text: str) -> str:
    """Between the quotes of a predicate."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _utc(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
