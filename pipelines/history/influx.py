"""History in InfluxDB 2."""

import gzip
from collections.abc import Sequence

import aiohttp

from pipelines.history.store import Row, StoreRefusedError, StoreUnavailableError, write_halving
from wire import history

LINES_PER_REQUEST = 5_000  # what InfluxDB recommends
TIMEOUT_S = 30.0


class InfluxStore:
    """POST /api/v2/write. The client library's asynchronous write neither compresses nor tells a refused line from an
    absent server, so the one request it would make is made here.

    The last write of a window stays. Rows come in the order they were told, so an older one comes behind a newer only
    from a worker that was thrown out of its group while it waited for InfluxDB, and then still writes what it held.
    """

    name = "influxdb"

    def __init__(self, url: str, token: str, org: str, bucket: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/write"
        self._query = {"org": org, "bucket": bucket, "precision": "ms"}
        self._headers = {"Authorization": f"Token {token}", "Content-Encoding": "gzip"}
        self._session: aiohttp.ClientSession | None = None

    async def write(self, rows: Sequence[Row]) -> None:
        for first in range(0, len(rows), LINES_PER_REQUEST):
            await write_halving(self.name, rows[first : first + LINES_PER_REQUEST], self._post)

    async def _post(self, rows: Sequence[Row]) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        body = gzip.compress("\n".join(history.line(*row) for row in rows).encode(), compresslevel=1)
        try:
            async with self._session.post(self._url, params=self._query, headers=self._headers, data=body) as answer:
                if answer.status < 300:
                    return
                said = f"{answer.status}: {(await answer.text())[:500]}"
                # 401, 403 and 404 are a wrong token or bucket, which somebody may mend; the points are not at fault.
                if answer.status in (400, 413, 422):
                    raise StoreRefusedError(said)
                raise StoreUnavailableError(said)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
