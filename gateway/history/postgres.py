"""History out of the PostgreSQL table that stands in where there is no InfluxDB."""

from gateway.database import Database, DatabaseAwayError
from gateway.history.store import TIMEOUT_S, HistoryAwayError
from wire import history
from wire.metrics import Metric, MetricPoint, State

_READ = f"""
SELECT window_s, start_ms, value, n, as_of_ms, state, watermark_ms FROM {history.TABLE}
WHERE scope = $1 AND metric = $2 AND label = $3 AND start_ms >= $4 AND start_ms < $5
ORDER BY start_ms
"""  # noqa: S608 -- the table's name is a constant of ours
_CHECK = f"SELECT 1 FROM {history.TABLE} LIMIT 1"  # noqa: S608


class PostgresReader:
    name = "postgresql"

    def __init__(self, database: Database) -> None:
        """`database` is started and stopped by whoever made it."""
        self._database = database

    async def read(self, scope: str, metric: Metric, label: str, start_ms: int, end_ms: int) -> list[MetricPoint]:
        try:
            rows = await self._database.fetch(_READ, scope, metric.value, label, start_ms, end_ms, timeout_s=TIMEOUT_S)
        except DatabaseAwayError as error:
            raise HistoryAwayError(str(error)) from error
        return [MetricPoint(metric=metric, label=label, **(dict(row) | {"state": State(row["state"])})) for row in rows]

    async def check(self) -> str:
        try:
            await self._database.fetch(_CHECK)
        except DatabaseAwayError as error:
            raise HistoryAwayError(str(error)) from error
        return "no InfluxDB is configured: the history is in PostgreSQL"

    async def close(self) -> None:
        """Nothing is open here."""
