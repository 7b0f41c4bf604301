"""Counts of objectives in a real PostgreSQL: they add up over processes and restarts, and wait where it is away."""

from collections.abc import Sequence

import pytest

from gateway import schema
from gateway.database import Database, DatabaseAwayError
from gateway.objectives.ledger import Ledger
from gateway.objectives.promises import CORRECTNESS, INGEST, Count, Standing

DAY_S = 86_400
NOON_S = 20_000 * DAY_S + DAY_S // 2


class Process:
    """One of the gateway: what it has counted, and its clock."""

    def __init__(self, database: Database) -> None:
        self.count = Count(0, 0)
        self.now_s = float(NOON_S)
        self.told: Sequence[Standing] = ()
        self.ledger = Ledger(database, self.tell, {INGEST: lambda: self.count}, lambda: self.now_s)

    def tell(self, standings: Sequence[Standing]) -> None:
        self.told = standings

    def add(self, bad: int, total: int) -> None:
        self.count = self.count.plus(Count(total - bad, total))
        self.ledger.look()

    @property
    def month(self) -> dict[str, tuple[int, int]]:
        self.ledger.look()
        return {one.objective.name: (one.month.bad, one.month.total) for one in self.told if one.month.total}


async def stored(database: Database) -> int:
    return int((await database.fetch("SELECT count(*) AS rows FROM objective_counts"))[0]["rows"])


async def test_processes_add_up_and_one_that_starts_anew_goes_on(database: Database) -> None:
    one, two = Process(database), Process(database)
    one.add(1, 10)
    two.add(2, 20)
    two.ledger.note_audit(adds_up=True)
    for process in (one, two, one, one):  # storing again changes nothing
        await process.ledger.store()
    assert one.month == two.month == {"ingest": (3, 30)} | {"correctness": (0, 1)}
    one.add(0, 5)  # of the same minute
    await one.ledger.store()
    again = Process(database)
    assert (again.month, again.ledger.stored_s) == ({}, None)
    await again.ledger.store()
    assert again.month == {INGEST.name: (3, 35), CORRECTNESS.name: (0, 1)}
    assert again.ledger.stored_s == NOON_S


async def test_what_is_too_old_is_deleted(database: Database) -> None:
    process = Process(database)
    process.add(1, 10)
    await process.ledger.store()
    process.now_s += DAY_S
    process.add(0, 7)
    await process.ledger.store()
    assert await stored(database) == 3  # the first minute is gone, its hour is not
    assert process.month == {"ingest": (1, 17)}
    late = Process(database)
    late.now_s += 31.5 * DAY_S
    await late.ledger.store()
    assert await stored(database) == 1
    assert process.month == {"ingest": (1, 17)}, "it has its own in memory"


async def test_while_postgresql_is_away_it_is_kept_and_stored_later(postgres_url: str) -> None:
    database = Database(postgres_url)
    process = Process(database)
    process.add(1, 10)
    with pytest.raises(DatabaseAwayError):
        await process.ledger.store()
    process.now_s += 3_600
    process.add(1, 10)
    assert process.month == {"ingest": (2, 20)}
    await schema.migrate(postgres_url)
    await database.start()
    try:
        await process.ledger.store()
        assert await stored(database) == 4
        other = Process(database)
        other.now_s = process.now_s
        await other.ledger.store()
        assert other.month == {"ingest": (2, 20)}
    finally:
        await database.stop()


async def test_what_was_counted_last_is_stored_at_the_end(database: Database) -> None:
    process = Process(database)
    await process.ledger.start()
    process.count = Count(3, 4)
    await process.ledger.stop()
    other = Process(database)
    await other.ledger.store()
    assert other.month == {"ingest": (1, 4)}
