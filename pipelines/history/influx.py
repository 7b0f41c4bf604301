"""History in InfluxDB 2."""

import csv
import gzip
import json
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from itertools import groupby

import aiohttp

from pipelines.history.store import Row, Served, StoreRefusedError, StoreUnavailableError
from wire import history
from wire.metrics import WINDOW_S, Metric

LINES_PER_REQUEST = 5_000  # what InfluxDB recommends
TIMEOUT_S = 30.0
READ_TIMEOUT_S = 120.0  # between one part of an answer and the next
READ_BYTES = 2**20

# As storage has it, series by series: a pivot, or any order, would be made in influxd's memory.
_READ = """
from(bucket: {bucket})
  |> range(start: time(v: {from_ns}), stop: time(v: {stop_ns}))
  |> filter(fn: (r) => ({metrics}) and r._field == "{field}"{scopes})
"""
_FIELDS = ("value", "n")


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
            await self._post(rows[first : first + LINES_PER_REQUEST])

    async def _post(self, rows: Sequence[Row]) -> None:
        body = gzip.compress("\n".join(history.line(*row) for row in rows).encode(), compresslevel=1)
        try:
            session = self._opened()
            async with session.post(self._url, params=self._query, headers=self._headers, data=body) as answer:
                if answer.status < 300:
                    return
                said = f"{answer.status}: {(await answer.text())[:500]}"
                # 401, 403 and 404 are a wrong token or bucket, which somebody may mend; the points are not at fault.
                if answer.status in (400, 413, 422):
                    raise StoreRefusedError(said)
                raise StoreUnavailableError(said)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

    async def read(
        self, metrics: Collection[Metric], from_ms: int, to_ms: int, scopes: Collection[str] = ()
    ) -> AsyncGenerator[Sequence[Served], None]:
        for window_s, of_width in groupby(sorted(metrics, key=WINDOW_S.__getitem__), WINDOW_S.__getitem__):
            # A point lies at the start of its window.
            stop_ms = to_ms - window_s * 1000 + 1
            named = _any("_measurement", of_width)
            if stop_ms > from_ms:
                for field in _FIELDS:
                    flux = _READ.format(
                        bucket=_literal(self._query["bucket"]), from_ns=from_ms * 10**6, stop_ns=stop_ms * 10**6,
                        metrics=named, field=field, scopes=f" and ({_any('scope', scopes)})" if scopes else "",
                    )  # fmt: skip
                    async with aclosing(self._ask(flux, field)) as parts:
                        async for part in parts:
                            yield part

    async def _ask(self, flux: str, field: str) -> AsyncGenerator[Sequence[Served], None]:
        timeout = aiohttp.ClientTimeout(sock_connect=TIMEOUT_S, sock_read=READ_TIMEOUT_S)
        headers = {"Authorization": self._headers["Authorization"], "Accept": "application/csv"}
        query = {"query": flux, "dialect": {"annotations": [], "header": True}}
        url, org = self._url.removesuffix("write") + "query", {"org": self._query["org"]}
        try:
            async with self._opened().post(url, params=org, headers=headers, json=query, timeout=timeout) as answer:
                if answer.status >= 300:
                    raise StoreUnavailableError(f"{answer.status}: {(await answer.text())[:500]}")
                rows, rest = _Rows(field), b""
                async for chunk in answer.content.iter_chunked(READ_BYTES):
                    # Not by `splitlines`, which knows other ends of a line that an id may hold.
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield list(rows.of(lines))
                yield list(rows.of([rest]))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Rows:
    """Of an answer in CSV: tables, each with a heading of its own and an empty line behind it."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._heading: list[str] = []

    def of(self, lines: Iterable[bytes]) -> Iterator[Served]:
        for cells in csv.reader(line.decode() for line in lines):
            if not cells:
                self._heading = []
            elif not self._heading:
                self._heading = cells
            else:
                row = dict(zip(self._heading, cells, strict=False))
                if "error" in row:  # what fails half way says so in its answer's body, after a 200
                    raise StoreUnavailableError(row["error"])
                start_ms = round(datetime.fromisoformat(row["_time"]).timestamp() * 1000)
                said = row["_value"]
                value, n = (None, int(said)) if self._field == "n" else (float(said), None)
                yield Served(row["scope"], row["_measurement"], row.get("label", ""), start_ms, value, n)


def _any(column: str, values: Iterable[str]) -> str:
    return " or ".join(f"r.{column} == {_literal(value)}" for value in values)


def _literal(text: str) -> str:
    """As a string of Flux, in which `${` would begin an expression."""
    return json.dumps(text, ensure_ascii=False).replace("${", "\\${")
