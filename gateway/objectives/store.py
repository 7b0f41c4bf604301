"""The counts in PostgreSQL: each process writes its own, and reads those of all others. The only SQL of theirs.

All raise DatabaseAwayError.
"""

from datetime import UTC, datetime

from gateway.database import Database
from gateway.objectives.counts import KEPT_S, Key, Rows
from gateway.objectives.promises import Count

_WRITE = """
    INSERT INTO objective_counts (span_s, at, process, objective, good, total)
    SELECT span_s, at, $1, objective, good, total
    FROM unnest($2::int[], $3::timestamptz[], $4::text[], $5::bigint[], $6::bigint[])
        AS told (span_s, at, objective, good, total)
    ON CONFLICT (span_s, at, process, objective) DO UPDATE SET good = excluded.good, total = excluded.total
"""
_OTHERS = """
    SELECT span_s, at, objective, sum(good)::bigint AS good, sum(total)::bigint AS total
    FROM objective_counts WHERE span_s = $2 AND at >= $3 AND process <> $1 GROUP BY span_s, at, objective
"""
_FORGET = "DELETE FROM objective_counts WHERE span_s = $1 AND at < $2"


async def write(database: Database, process: int, rows: Rows) -> None:
    """Twice the same changes nothing. Nothing is kept of it where it raises, or all."""
    if not rows:
        return
    keys = list(rows)
    await database.fetch(
        _WRITE,
        process,
        [key.span_s for key in keys],
        [_at(key.at_s) for key in keys],
        [key.objective for key in keys],
        [rows[key].good for key in keys],
        [rows[key].total for key in keys],
    )


async def others(database: Database, process: int, now_s: float) -> dict[Key, Count]:
    """Of all processes but this one, those that have ended too."""
    found = {}
    for span_s, kept_s in KEPT_S.items():
        for row in await database.fetch(_OTHERS, process, span_s, _at(now_s - kept_s)):
            key = Key(row["span_s"], int(row["at"].timestamp()), row["objective"])
            found[key] = Count(row["good"], row["total"])
    return found


async def forget(database: Database, now_s: float) -> None:
    for span_s, kept_s in KEPT_S.items():
        await database.fetch(_FORGET, span_s, _at(now_s - kept_s))


def _at(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
