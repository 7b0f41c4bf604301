"""What was computed, what is served, and how they differ: in a file of SQLite, so that memory is bounded."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from pipelines.history.store import Served
from pipelines.rebuild.difference import DIFFERENT, Limits, Pair, Rebuilt, Verdict, pairs

CACHE_KB = 64_000
PART = 10_000  # pairs

_TABLES = """
CREATE TABLE rebuilt (
  scope TEXT, metric TEXT, label TEXT, start_ms INTEGER, value REAL, n INTEGER,
  watermark_ms INTEGER, open INTEGER, teller INTEGER, PRIMARY KEY (scope, metric, label, start_ms)
) WITHOUT ROWID;
CREATE TABLE served (
  scope TEXT, metric TEXT, label TEXT, start_ms INTEGER, value REAL, n INTEGER,
  as_of_ms INTEGER, PRIMARY KEY (scope, metric, label, start_ms)
) WITHOUT ROWID;
CREATE TABLE differences (
  scope TEXT, metric TEXT, label TEXT, start_ms INTEGER,
  verdict TEXT, PRIMARY KEY (scope, metric, label, start_ms)
) WITHOUT ROWID;
"""
_PUT = "INSERT OR REPLACE INTO rebuilt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_SERVED = """
INSERT INTO served VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET value = coalesce(excluded.value, value), n = coalesce(excluded.n, n),
  as_of_ms = coalesce(excluded.as_of_ms, as_of_ms)
"""
_ORDER = "ORDER BY scope, metric, label, start_ms"
_REBUILT = f"SELECT * FROM rebuilt WHERE start_ms >= ? {_ORDER}"  # noqa: S608 -- constants of ours
_SERVED = f"SELECT * FROM served WHERE start_ms >= ? {_ORDER}"  # noqa: S608
_DIFFERENCES = f"""
SELECT differences.verdict, rebuilt.*, served.* FROM differences
LEFT JOIN rebuilt USING (scope, metric, label, start_ms) LEFT JOIN served USING (scope, metric, label, start_ms)
{_ORDER}
"""  # noqa: S608
_TABLE = """
SELECT scope, metric, sum(verdict = 'differs'), sum(verdict = 'missing'), sum(verdict = 'extra')
FROM differences GROUP BY scope, metric ORDER BY count(*) DESC, scope, metric
"""


class Line(NamedTuple):
    """Differences of a metric of a scope."""

    scope: str
    metric: str
    differs: int
    missing: int
    extra: int


@dataclass
class Tally:
    windows: Counter[Verdict] = field(default_factory=Counter)
    scopes: int = 0

    @property
    def different(self) -> int:
        return sum(self.windows[verdict] for verdict in DIFFERENT)


class Shadow:
    """Every call blocks for a moment. Raises sqlite3.Error, where the disk is full for instance."""

    def __init__(self, path: str) -> None:
        """`path`: a file that is not there yet; "": one that nobody sees, gone with the process."""
        self._database = sqlite3.connect(path, isolation_level=None)
        # A run that is cut short is begun anew, so nothing has to survive it.
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        self._database.executescript(_TABLES)

    def put(self, windows: Iterable[Rebuilt]) -> None:
        """The last one of a window stays."""
        self._write(_PUT, windows)

    def put_served(self, windows: Iterable[Served]) -> None:
        self._write(_PUT_SERVED, windows)

    def compare(self, limits: Limits, tally: Tally) -> Iterator[int]:
        """Writes down what differs. Stops after each PART, with how many windows it were."""
        from_ms = [limits.from_ms]
        both = pairs(
            (Rebuilt(*row) for row in self._database.execute(_REBUILT, from_ms)),
            (Served(*row) for row in self._database.execute(_SERVED, from_ms)),
            limits,
        )
        last = ""
        while part := list(islice(both, PART)):
            tally.windows.update(pair.verdict for pair in part)
            for pair in part:
                tally.scopes += pair.key[0] != last
                last = pair.key[0]
            different = ((*pair.key, pair.verdict) for pair in part if pair.verdict in DIFFERENT)
            self._write("INSERT INTO differences VALUES (?, ?, ?, ?, ?)", different)
            yield len(part)

    def differences(self) -> Iterator[Pair]:
        for verdict, *row in self._database.execute(_DIFFERENCES):
            rebuilt = None if row[0] is None else Rebuilt(*row[:9])
            served = None if row[9] is None else Served(*row[9:])
            yield Pair(Verdict(verdict), rebuilt, served)

    def table(self) -> Iterator[Line]:
        """Those with most of them first."""
        return map(Line._make, self._database.execute(_TABLE))

    def close(self) -> None:
        self._database.close()

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(statement, rows)
        self._database.execute("COMMIT")
