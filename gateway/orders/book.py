"""Pauses in PostgreSQL, which outlive a restart of anything, each written together with its row of the audit log."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from gateway.database import Database
from gateway.security import audit_log
from gateway.security.audit_log import Entry
from wire import topics
from wire.orders import Pause

PAUSE, RESUME, DRAIN = "consumers.pause", "consumers.resume", "workers.drain"  # in the audit log
FOR_S = 3_600  # where nobody says
FOR_MIN_S = 10


class StandsError(Exception):
    """The group is as it was to be, or was not as it has to be; the message says how it is."""


class TooLongError(Exception):
    """The group may not be paused for so long; the message says for how long it may."""


def wanted(group: str, read: Iterable[str], by: str, reason: str, for_s: int, now_ms: int) -> Pause:
    """`read`: the topics of the group. Raises TooLongError."""
    if not FOR_MIN_S <= for_s <= (longest := longest_s(read)):
        raise TooLongError(
            f"{group} may be paused for {FOR_MIN_S} to {longest} s: half of what the topics that it reads are kept"
        )
    return Pause(group=group, by=by, reason=reason, since_ms=now_ms, until_ms=now_ms + for_s * 1000)


def longest_s(read: Iterable[str]) -> int:
    """How long a group may be paused that reads these topics: half of what the one kept shortest keeps, so that as much
    is left to read what has come."""
    known = topics.load()
    kept = [known[name].retention_ms for name in read]
    return min(kept_ms for kept_ms in kept if kept_ms is not None) // 2_000


async def pause(database: Database, wanted: Pause, entry: Entry) -> None:
    """Raises StandsError where the group is paused already, DatabaseAwayError."""
    since, until = _at(wanted.since_ms), _at(wanted.until_ms)
    async with database.transaction() as connection:
        arguments = wanted.group, wanted.by, wanted.reason, since, until
        if await connection.fetchrow(_PAUSE, *arguments) is None:
            row = await connection.fetchrow(f"{_ALL} WHERE consumer_group = $1", wanted.group)
            raise StandsError(f"{wanted.group} is {_pause(row).says}" if row else f"{wanted.group} is paused already")
        await audit_log.append(connection, [entry._replace(result=f"done, until {until:%Y-%m-%d %H:%MZ}")])


async def resume(database: Database, group: str, now_ms: int, entry: Entry) -> Pause:
    """The pause that is ended. Raises StandsError where there is none, DatabaseAwayError."""
    async with database.transaction() as connection:
        row = await connection.fetchrow(_RESUME, group, _at(now_ms))
        if row is None:
            raise StandsError(f"{group} is not paused")
        await audit_log.append(connection, [entry])
    return _pause(row)


async def in_force(database: Database, now_ms: int) -> dict[str, Pause]:
    """By group. Raises DatabaseAwayError."""
    rows = await database.fetch(f"{_ALL} WHERE until > $1", _at(now_ms))
    return {row["consumer_group"]: _pause(row) for row in rows}


_ALL = "SELECT consumer_group, paused_by, reason, since, until FROM pauses"
_PAUSE = """
INSERT INTO pauses AS held (consumer_group, paused_by, reason, since, until) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (consumer_group) DO UPDATE
    SET paused_by = excluded.paused_by, reason = excluded.reason, since = excluded.since, until = excluded.until
    WHERE held.until <= excluded.since
RETURNING consumer_group
"""
_RESUME = """
DELETE FROM pauses WHERE consumer_group = $1 AND until > $2
RETURNING consumer_group, paused_by, reason, since, until
"""


def _pause(row: Any) -> Pause:
    return Pause(
        group=row["consumer_group"],
        by=row["paused_by"],
        reason=row["reason"],
        since_ms=round(row["since"].timestamp() * 1000),
        until_ms=round(row["until"].timestamp() * 1000),
    )


def _at(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
