"""One student, in all stores: what is held of him, and its erasure. Both are in the audit log before they begin."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio as redis

from gateway.admin.reading import Progress
from gateway.database import Database
from gateway.history.store import HistoryReader
from gateway.privacy.events import Events
from gateway.privacy.numbers import History, Live
from gateway.privacy.people import People
from gateway.privacy.retention import AUDIT_LOG
from gateway.privacy.statements import Statements
from gateway.privacy.store import AWAY, Lot, Store
from gateway.security import audit_log
from gateway.security.audit_log import Entry
from wire.scopes import Scope


@dataclass
class Exported:
    held: dict[str, Sequence[Any]] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)  # stores that were away, and why

    @property
    def found(self) -> bool:
        """The audit log says at least that it was asked for."""
        return any(held for where, held in self.held.items() if where != AUDIT_LOG)


@dataclass
class Erased:
    done: bool  # else it was only looked at
    lots: list[Lot] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)  # the same again does the rest

    @property
    def found(self) -> bool:
        return any(lot.number for lot in self.lots if lot.where != AUDIT_LOG)


def stores(
    database: Database,
    history: HistoryReader,
    client: "redis.Redis",
    kafka: str,
    timeout_s: float,
    progress: Progress = lambda _read, _total: None,
) -> list[Store]:
    """All there are. Names go first: without them the rest is of nobody."""
    return [
        People(database),
        Statements(database),
        Live(client),
        History(history),
        Events(kafka, timeout_s, progress),
    ]


async def export(database: Database, of: Sequence[Store], student_id: str, *, by: str) -> Exported:
    """What some store holds although another is away. Raises DatabaseAwayError where it cannot be recorded."""
    await _record(database, Entry(by, "privacy.export", str(Scope.student(student_id))))
    exported = Exported()
    for store in of:
        try:
            exported.held |= await store.export(student_id)
        except AWAY as error:
            exported.gaps.append(f"{store.name}: {error}")
    return exported


async def look(of: Sequence[Store], student_id: str) -> Erased:
    """What `erase` would do."""
    return await _erase(of, student_id, dry_run=True)


async def erase(database: Database, of: Sequence[Store], student_id: str, *, by: str, why: str) -> Erased:
    """What one store cannot do now keeps no other from it. Raises DatabaseAwayError where it cannot be recorded."""
    entry = Entry(by, "privacy.erase", str(Scope.student(student_id)))
    await _record(database, entry._replace(result="begun", detail=why))
    erased = await _erase(of, student_id, dry_run=False)
    told = ", ".join(f"{lot.number} of {lot.where}" for lot in erased.lots if not lot.goes)
    result = "partly" if erased.gaps else "done"
    await _record(database, entry._replace(result=result, detail="; ".join([told, *erased.gaps])))
    return erased


async def _erase(of: Sequence[Store], student_id: str, *, dry_run: bool) -> Erased:
    erased = Erased(done=not dry_run)
    for store in of:
        try:
            erased.lots += await store.erase(student_id, dry_run=dry_run)
        except AWAY as error:
            erased.gaps.append(f"{store.name}: {error}")
    return erased


async def _record(database: Database, entry: Entry) -> None:
    async with database.transaction() as connection:
        await audit_log.append(connection, [entry])
