"""History out of the PostgreSQL table that stands in where there is no InfluxDB."""

from typing import Any

from gateway.database import Database, DatabaseAwayError
from gateway.history.store import TIMEOUT_S, HistoryAwayError
from wire import history
from wire.metrics import Metric, MetricPoint, State

_READ = f"""
SELECT window_s, start_ms, value, n, as_of_ms, state, watermark_ms FROM {history.TABLE}
WHERE scope = $1 AND metric = $2 AND label = $3 AND start_ms >= $4 AND start_ms < $5
ORDER BY start_ms
"""  # noqa: S608 -- the table's name is a constant of ours
_EVERYTHING = f"""
SELECT metric, label, window_s, start_ms, value, n, as_of_ms, state, watermark_ms FROM {history.TABLE}
WHERE scope = $1 ORDER BY metric, label, start_ms
"""  # noqa: S608
_ERASE = f"DELETE FROM {history.TABLE} WHERE scope = $1"  # noqa: S608
_CHECK = f"SELECT 1 FROM {history.TABLE} LIMIT 1"  # noqa: S608


class PostgresReader:
    name = "postgresql"

    def __init__(self, database: Database) -> None:
        """`database` is started and stopped by whoever made it."""
        self._database = database

    async def read(self, scope: str, metric: Metric, label: str, start_ms: int, end_ms: int) -> list[MetricPoint]:
        rows = await self._ask(_READ, scope, metric.value, label, start_ms, end_ms)
        return [MetricPoint(metric=metric, label=label, **(dict(row) | {"state": State(row["state"])})) for row in rows]

    async def everything(self, scope: str) -> list[MetricPoint]:
        rows = map(dict, await self._ask(_EVERYTHING, scope))
        return [MetricPoint(**(row | {"metric": Metric(row["metric"]), "state": State(row["state"])})) for row in rows]

    async def erase(self, scope: str) -> None:
        await self._ask(_ERASE, scope)

    async def check(self) -> str:
        await self._ask(_CHECK)
        return "no InfluxDB is configured: the history is in PostgreSQL"

    async def _ask(self, sql: str, *arguments: object) -> list[Any]:
        try:
            return await self._database.fetch(sql, *arguments, timeout_s=TIMEOUT_S)
        except DatabaseAwayError as error:
            raise HistoryAwayError(str(error)) from error

    async def close(self) -> None:
        """Nothing is open here."""
