"""A rebuild from its beginning to its end: computed, held against what is served, shown, and only then written."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing, closing
from itertools import islice

import structlog
from rich.progress import Progress

from batching import unpack
from pipelines.aggregate import folding
from pipelines.aggregate.windows import DAY_MS
from pipelines.history.store import HistoryStore
from pipelines.rebuild.activity import Activity, reading
from pipelines.rebuild.difference import COMPARED, Limits, Rebuilt, is_compared
from pipelines.rebuild.mending import mend
from pipelines.rebuild.recount import Recount, Told, warm_up_ms
from pipelines.rebuild.report import Findings
from pipelines.rebuild.shadow import Shadow, Tally
from pipelines.settings import AggregateSettings
from wire import topics
from wire.rebuild import Order

TELL_RECORDS = 20_000  # as seldom as that: each time an open window is told anew
SETTLE_MS = 15_000  # what came so lately the workers may still have to tell, and write

log = structlog.get_logger(__name__)


class Rebuild:
    def __init__(
        self, order: Order, settings: AggregateSettings, store: HistoryStore, new_bar: Callable[[], Progress]
    ) -> None:
        self.written = 0  # points
        self._order = order
        self._settings = settings
        self._bounds = folding.bounds(settings)
        self._store = store
        self._new_bar = new_bar
        self._seen_ms: Mapping[int, int] = {}

    async def run(self, show: Callable[[Findings], None]) -> Findings:
        """Nothing is written to the store before `show` has been called. Raises NotReadError, StoreUnavailableError,
        StoreRefusedError, sqlite3.Error."""
        with closing(Shadow(self._order.shadow)) as shadow:
            with self._new_bar() as bar:
                found = await self._find(shadow, bar)
            show(found)
            if self._order.why and (number := found.different):
                with self._new_bar() as bar:
                    await self._replace(shadow, number, bar)
            return found

    async def _find(self, shadow: Shadow, bar: Progress) -> Findings:
        order, warm_up = self._order, warm_up_ms(self._bounds)
        since_ms = order.from_ms - warm_up
        async with reading(self._settings.kafka, unpack.choose(self._settings.unpacker), since_ms) as activity:
            recount = Recount(activity.stretches, self._bounds, self._settings.grace_s * 1000, since_ms)
            await self._compute(activity, recount, shadow, bar)
            at_ms = int(time.time() * 1000)
            await self._read_served(recount.clock.now_ms, shadow, bar)
            moving = await activity.moving(at_ms - SETTLE_MS)
            whole_from_ms = activity.whole_from_ms(warm_up, topics.load()[topics.ACTIVITY].retention_ms or 0)
            self._seen_ms = recount.seen_ms
            changing_ms = [self._seen_ms[partition] - self._bounds.lateness_ms for partition in moving]
            limits = Limits(
                max(order.from_ms, whole_from_ms), self._seen_ms, self._settings.grace_s * 1000,
                recount.clock.closed_ms, min(changing_ms, default=None),
            )  # fmt: skip
            tally = await self._compare(shadow, limits, bar)
            table, first = list(islice(shadow.table(), order.show)), list(islice(shadow.differences(), order.show))
            unread = await activity.unread() if tally.different else {}
        return Findings(
            self._store.name,
            order.from_ms,
            whole_from_ms,
            activity.total,
            recount.verdicts,
            tally,
            table,
            first,
            unread,
        )

    async def _compute(self, activity: Activity, recount: Recount, shadow: Shadow, bar: Progress) -> None:
        task = bar.add_task("reading activity", total=activity.total)
        warm_ms = self._order.from_ms - self._bounds.skew_ms  # no event of a window lies in an older record
        untold, until_ms = 0, activity.asked_ms
        async for step in activity.steps():
            for partition, records in step.records.items():
                recount.fold(partition, records)
                untold += len(records)
            if step.until_ms < warm_ms:
                recount.warm_up(step.until_ms)
                untold = 0
            elif untold >= TELL_RECORDS:
                self._keep(recount.tell(step.until_ms, step.coming), shadow)
                untold = 0
            until_ms = max(until_ms, step.until_ms)
            bar.update(task, completed=activity.read)
        self._keep(recount.finish(until_ms), shadow)

    def _keep(self, told: Iterable[Told], shadow: Shadow) -> None:
        order, scopes = self._order, frozenset(self._order.scopes)
        to_ms = sys.maxsize if order.to_ms is None else order.to_ms
        for teller, updates in told:
            shadow.put(
                Rebuilt.of(update.scope, point, teller)
                for update in updates
                if not scopes or update.scope in scopes
                for point in update.points
                if order.from_ms <= point.start_ms and point.end_ms <= to_ms and is_compared(point)
            )

    async def _read_served(self, now_ms: int, shadow: Shadow, bar: Progress) -> None:
        order, task = self._order, bar.add_task(f"reading {self._store.name}", total=None)
        to_ms = now_ms + DAY_MS if order.to_ms is None else order.to_ms  # with the day that is still open
        async with aclosing(self._store.read(COMPARED, order.from_ms, to_ms, order.scopes)) as parts:
            async for part in parts:
                shadow.put_served(part)
                bar.advance(task, len(part))

    async def _compare(self, shadow: Shadow, limits: Limits, bar: Progress) -> Tally:
        tally, task = Tally(), bar.add_task("comparing", total=None)
        for number in shadow.compare(limits, tally):
            bar.advance(task, number)
            await asyncio.sleep(0)  # here Ctrl-C is heard
        return tally

    async def _replace(self, shadow: Shadow, number: int, bar: Progress) -> None:
        order, task = self._order, bar.add_task("replacing", total=number)

        def written(points: int) -> None:
            self.written += points
            bar.advance(task, points)

        try:
            await mend(self._store, shadow.differences(), self._seen_ms, written)
        finally:
            log.warning(
                "history replaced", store=self._store.name, points=self.written, of=number, by=order.by, why=order.why
            )
