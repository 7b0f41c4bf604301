"""Writes the audit log for the gateway: what must be there before it happens, and what may follow within seconds.

What changes something is written first: with PostgreSQL away it is refused. Reads and refusals are queued, so that no
viewer waits for the log; while PostgreSQL is away they wait here, up to QUEUED_MAX, and how many were lost is told.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

import structlog

from gateway.database import Database, DatabaseAwayError
from gateway.ending import ended
from gateway.security import audit_log
from gateway.security.audit_log import Entry, Head

log = structlog.get_logger(__name__)

WRITE_WITHIN_S = 2.0
QUEUED_MAX = 10_000
BATCH = 500
PAUSE_S = 0.5  # what is queued meanwhile is one transaction
AWAY_PAUSE_S = 5.0
AGAIN_S = 900.0  # a page asks the same every 5 s
REMEMBERED_MAX = 20_000
HEAD_EVERY_S = 600.0  # its place in our log is a head that was kept elsewhere


class Recorder:
    def __init__(self, database: Database, clock: Callable[[], float] | None = None) -> None:
        self._database = database
        self._clock = clock
        self._queue: deque[Entry] = deque()
        self._lost = 0
        self._seen: OrderedDict[Entry, float] = OrderedDict()
        self._writing: set[asyncio.Task[Head]] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._told_s = -HEAD_EVERY_S

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="audit log")

    async def stop(self) -> None:
        """Writes what is queued, where PostgreSQL answers."""
        if self._task is None:
            return
        await ended(self._task)
        try:
            while self._queue:
                await self._write()
            await asyncio.gather(*self._writing, return_exceptions=True)
        except DatabaseAwayError as error:
            log.warning("part of the audit log is lost", rows=len(self._queue) + self._lost, reason=str(error))

    async def first(self, entry: Entry) -> None:
        """Returns when it is written; what it tells of may then be done. Raises DatabaseAwayError within
        WRITE_WITHIN_S."""
        await self._append([entry])

    def note(self, entry: Entry) -> None:
        """Written soon."""
        if len(self._queue) >= QUEUED_MAX:
            self._lost += 1
            return
        self._queue.append(entry)
        self._wake.set()

    def seen(self, entry: Entry) -> None:
        """As `note`, of what is done again and again: one row in AGAIN_S says it."""
        now_s = self._now_s()
        if now_s - self._seen.get(entry, -AGAIN_S) < AGAIN_S:
            return
        self._seen[entry] = now_s
        self._seen.move_to_end(entry)
        if len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)
        self.note(entry)

    async def _run(self) -> None:
        away = False
        while True:
            await self._wake.wait()
            try:
                await self._write()
                if away:
                    log.info("the audit log is written again")
                away = False
            except DatabaseAwayError as error:
                if not away:  # said once an outage
                    log.warning("the audit log cannot be written; it waits", reason=str(error))
                away = True
            except Exception:
                log.exception("the audit log cannot be written; it waits")
                away = True
            await asyncio.sleep(AWAY_PAUSE_S if away else PAUSE_S)

    async def _write(self) -> None:
        """Part of the queue; raises DatabaseAwayError, with nothing lost."""
        some = [self._queue[number] for number in range(min(BATCH, len(self._queue)))]
        lost = self._lost
        extra = [Entry("classpulse", "audit.lost", result="lost", detail=f"{lost} rows")] if lost else []
        await self._append([*some, *extra])
        for _ in some:
            self._queue.popleft()
        self._lost -= lost
        if not self._queue and not self._lost:
            self._wake.clear()

    async def _append(self, entries: list[Entry]) -> None:
        """Undoing what does not answer takes longer than the bound, and nobody waits for that. Raises
        DatabaseAwayError; the rows may be there all the same."""
        writing = asyncio.create_task(self._appended(entries))
        self._writing.add(writing)
        writing.add_done_callback(self._done)
        if not (await asyncio.wait({writing}, timeout=WRITE_WITHIN_S))[0]:
            writing.cancel()
            raise DatabaseAwayError(f"the audit log was not written within {WRITE_WITHIN_S:g} s")
        self._tell(writing.result())

    async def _appended(self, entries: list[Entry]) -> Head:
        async with self._database.transaction() as connection:
            return await audit_log.append(connection, entries)

    def _done(self, writing: asyncio.Task[Head]) -> None:
        self._writing.discard(writing)
        if not writing.cancelled():
            writing.exception()  # told already, to whoever waited

    def _tell(self, head: Head) -> None:
        now_s = self._now_s()
        if now_s - self._told_s >= HEAD_EVERY_S:
            self._told_s = now_s
            log.info("the audit log goes up to here", head=str(head))

    def _now_s(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()
