"""History in a PostgreSQL table, where there is no InfluxDB. The gateway's migrations make the table."""

from collections.abc import Sequence

import asyncpg

from pipelines.history.store import Row, StoreRefusedError, StoreUnavailableError, write_halving
from wire import history

TIMEOUT_S = 30.0
ROWS_PER_STATEMENT = 5_000  # about a megabyte: a statement of any size would outgrow its timeout

# A row that has seen more event time is not replaced by one that has seen less. Told time never goes back
# (aggregate/merge.py), so that can only be what a worker cut off from Kafka still had to write.
_UPSERT = f"""
INSERT INTO {history.TABLE} AS held (scope, metric, label, start_ms, window_s, value, n, as_of_ms)
SELECT * FROM unnest(
  $1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::float8[], $7::bigint[], $8::bigint[])
ON CONFLICT (scope, metric, label, start_ms) DO UPDATE
SET window_s = excluded.window_s, value = excluded.value, n = excluded.n, as_of_ms = excluded.as_of_ms
WHERE held.as_of_ms <= excluded.as_of_ms
"""  # noqa: S608 -- the table's name is a constant of ours


class PostgresStore:
    name = "postgresql"

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool | None = None

    async def write(self, rows: Sequence[Row]) -> None:
        for first in range(0, len(rows), ROWS_PER_STATEMENT):
            await write_halving(self.name, rows[first : first + ROWS_PER_STATEMENT], self._upsert)

    async def _upsert(self, rows: Sequence[Row]) -> None:
        columns = zip(
            *(
                (scope, p.metric.value, p.label, p.start_ms, p.window_s, p.value, p.n, p.as_of_ms)
                # In the key's order, so that two writers never wait for each other in a circle.
                for scope, p in sorted(rows, key=lambda row: (row[0], row[1].metric, row[1].label, row[1].start_ms))
            ),
            strict=True,
        )
        try:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(self._url, min_size=1, max_size=2, timeout=TIMEOUT_S)
            await self._pool.execute(_UPSERT, *map(list, columns), timeout=TIMEOUT_S)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise StoreRefusedError(str(error)) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
