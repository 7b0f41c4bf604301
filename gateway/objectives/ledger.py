"""Counts what was good and what was not, stores it every minute, and knows how each objective stands."""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NoReturn

import structlog

from gateway.database import Database, DatabaseAwayError
from gateway.ending import ended
from gateway.objectives import observed, store
from gateway.objectives.counts import Counts, Key, over
from gateway.objectives.promises import (
    CORRECTNESS,
    FRESHNESS,
    INGEST,
    NOTHING,
    OBJECTIVES,
    WINDOWS_S,
    Count,
    Objective,
    Standing,
    standing,
)

LOOK_S = 10.0  # a minute's count may have what came up to this long before it
STORE_S = 60.0
STOP_S = 3.0  # for what was counted last

log = structlog.get_logger(__name__)

OBSERVED: Mapping[Objective, Callable[[], Count]] = {INGEST: observed.requests, FRESHNESS: observed.updates}


class Ledger:
    """PostgreSQL away, it counts on, and tells what it knew of other processes last."""

    def __init__(
        self,
        database: Database,
        tell: Callable[[Sequence[Standing]], None],
        observe: Mapping[Objective, Callable[[], Count]] = OBSERVED,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        """`tell` gets how they stand after each look. `observe`: counts since this process started. Opens nothing."""
        self._database = database
        self._tell = tell
        self._observe = observe
        self._clock_s = clock_s
        self._process = secrets.randbits(63)  # of this start: what one before it has stored is another's
        self._counts = Counts()
        self._others: Mapping[Key, Count] = {}
        self._seen: dict[Objective, Count] = {}
        self._task: asyncio.Task[NoReturn] | None = None
        self._away = ""
        self.standings: Sequence[Standing] = _standings({})
        self.stored_s: float | None = None  # epoch: PostgreSQL last had all, and told what others have

    async def start(self) -> None:
        self._seen = {objective: ask() for objective, ask in self._observe.items()}
        self._task = asyncio.create_task(self._run(), name="objectives")

    async def stop(self) -> None:
        """Stores what was counted last, where PostgreSQL takes it in time."""
        if self._task is None:
            return
        await ended(self._task)
        self._task = None
        self.look()
        try:
            async with asyncio.timeout(STOP_S):
                await store.write(self._database, self._process, self._counts.unstored())
        except (DatabaseAwayError, TimeoutError) as error:
            log.warning("the last counts of objectives are lost", reason=str(error))

    def note_audit(self, adds_up: bool) -> None:
        """A look at the audit."""
        self._counts.add(CORRECTNESS.name, Count(int(adds_up), 1), self._clock_s())

    def look(self) -> None:
        now_s = self._clock_s()
        for objective, ask in self._observe.items():
            found, before = ask(), self._seen.get(objective, NOTHING)
            self._counts.add(objective.name, Count(found.good - before.good, found.total - before.total), now_s)
            self._seen[objective] = found
        self._counts.forget(now_s)
        self.standings = _standings(over(chain(self._counts.rows.items(), self._others.items()), now_s))
        self._tell(self.standings)

    async def store(self) -> None:
        """Raises DatabaseAwayError; then all that is not stored is kept for the next time."""
        rows = self._counts.unstored()
        await store.write(self._database, self._process, rows)
        self._counts.stored(rows)
        now_s = self._clock_s()
        self._others = await store.others(self._database, self._process, now_s)
        self.stored_s = now_s
        await store.forget(self._database, now_s)

    async def _run(self) -> NoReturn:
        due_s = 0.0
        while True:
            try:
                self.look()
                if time.monotonic() >= due_s:
                    due_s = time.monotonic() + STORE_S * random.uniform(0.8, 1.2)  # noqa: S311 -- jitter, not a secret
                    await self._try_to_store()
            except Exception:  # a fault of ours: what is told stands still, and all else goes on
                log.exception("the objectives could not be looked at")
            await asyncio.sleep(LOOK_S)

    async def _try_to_store(self) -> None:
        try:
            await self.store()
        except DatabaseAwayError as error:
            if not self._away:  # once an outage
                log.warning("what objectives count is kept in memory", reason=str(error))
            self._away = str(error)
        else:
            self._away = ""
            self.look()


def _standings(counts: Mapping[str, Mapping[int, Count]]) -> list[Standing]:
    nothing = dict.fromkeys(WINDOWS_S, NOTHING)
    return [standing(objective, counts.get(objective.name, nothing)) for objective in OBJECTIVES]
