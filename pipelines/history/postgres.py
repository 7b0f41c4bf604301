"""History in a PostgreSQL table, where there is no InfluxDB. The gateway's migrations make the table."""

from collections.abc import AsyncGenerator, Collection, Sequence

import asyncpg

from pipelines.history.store import Row, Served, StoreRefusedError, StoreUnavailableError
from wire import history
from wire.metrics import Metric, MetricPoint

TIMEOUT_S = 30.0
READ_TIMEOUT_S = 300.0  # no index goes by time: before the first row is found all of them may have been looked at
ROWS_PER_STATEMENT = 5_000  # about a megabyte: a statement of any size would outgrow its timeout

# A row that has seen more event time is not replaced by one that has seen less. Told time never goes back
# (aggregate/merge.py), so that can only be what a worker cut off from Kafka still had to write.
_UPSERT = f"""
INSERT INTO {history.TABLE} AS held
  (scope, metric, label, start_ms, window_s, value, n, as_of_ms, state, watermark_ms)
SELECT * FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::float8[], $7::bigint[], $8::bigint[],
  $9::text[], $10::bigint[])
ON CONFLICT (scope, metric, label, start_ms) DO UPDATE
SET window_s = excluded.window_s, value = excluded.value, n = excluded.n, as_of_ms = excluded.as_of_ms,
  state = excluded.state, watermark_ms = excluded.watermark_ms
WHERE held.as_of_ms <= excluded.as_of_ms
"""  # noqa: S608 -- the table's name is a constant of ours
_READ = f"""
SELECT scope, metric, label, start_ms, value, n, as_of_ms FROM {history.TABLE}
WHERE metric = ANY($1) AND start_ms >= $2 AND start_ms + window_s * 1000 <= $3
"""  # noqa: S608
_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


def _columns(scope: str, point: MetricPoint) -> tuple[object, ...]:
    """As _UPSERT numbers them."""
    key = (scope, point.metric.value, point.label, point.start_ms)
    said = (point.window_s, point.value, point.n, point.as_of_ms, point.state.value, point.watermark_ms)
    return key + said


class PostgresStore:
    name = "postgresql"

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool | None = None

    async def write(self, rows: Sequence[Row]) -> None:
        for first in range(0, len(rows), ROWS_PER_STATEMENT):
            await self._upsert(rows[first : first + ROWS_PER_STATEMENT])

    async def _upsert(self, rows: Sequence[Row]) -> None:
        columns = zip(
            *(
                _columns(*row)
                # In the key's order, so that two writers never wait for each other in a circle.
                for row in sorted(rows, key=lambda row: (row[0], row[1].metric, row[1].label, row[1].start_ms))
            ),
            strict=True,
        )
        try:
            await (await self._connected()).execute(_UPSERT, *map(list, columns), timeout=TIMEOUT_S)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise StoreRefusedError(str(error)) from error
        except _AWAY as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

    async def read(
        self, metrics: Collection[Metric], from_ms: int, to_ms: int, scopes: Collection[str] = ()
    ) -> AsyncGenerator[Sequence[Served], None]:
        sql, arguments = _READ, [[metric.value for metric in metrics], from_ms, to_ms]
        if scopes:
            sql, arguments = f"{sql} AND scope = ANY($4)", [*arguments, list(scopes)]
        try:
            async with (await self._connected()).acquire(timeout=TIMEOUT_S) as connection, connection.transaction():
                cursor = await connection.cursor(sql, *arguments, timeout=READ_TIMEOUT_S)
                while rows := await cursor.fetch(ROWS_PER_STATEMENT, timeout=READ_TIMEOUT_S):
                    yield [Served(*row) for row in rows]
        except _AWAY as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

    async def _connected(self) -> asyncpg.Pool:
        if self._pool is None:
            self._pool = await asyncpg.create_pool(self._url, min_size=1, max_size=2, timeout=TIMEOUT_S)
        return self._pool

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
