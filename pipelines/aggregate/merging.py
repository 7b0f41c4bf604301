"""The agent of `partials`."""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import structlog

from batching import Batch
from pipelines import telemetry
from pipelines.aggregate import merge
from pipelines.aggregate.agents import Telling, msgpack, now_ms, update_record
from pipelines.aggregate.merge import Held, Merge, Window
from pipelines.outlet import Outgoing, Outlet
from pipelines.settings import AggregateSettings
from pipelines.worker import App, Worker
from wire import partials, topics

log = structlog.get_logger(__name__)

SHARE = 0.03  # of the time, for telling scopes' values


class Merging(Telling):
    """Tells the values of scopes."""

    name: ClassVar[str] = "merge"

    def __init__(
        self,
        worker: Worker[App],
        settings: AggregateSettings,
        outlet: Outlet,
        wall_ms: Callable[[], int] = now_ms,
    ) -> None:
        super().__init__(worker, topics.PARTIALS, outlet, SHARE, wall_ms)
        self._restored = merge_restorer(settings)
        self._merges: dict[int, Merge] = {}
        self._windows = worker.app.write_behind_table("windows", source=topics.PARTIALS, **msgpack(Held))

    def restore(self, partition: int) -> None:
        stored = {merge.decode_key(key): held for key, held in self._windows.partition(partition).taken().items()}
        log.info("partition restored", partition=partition, windows=len(stored))
        self._merges[partition] = self._restored(partition, stored, self._wall_ms())
        self._due.restored(partition)

    def forget(self, partition: int) -> None:
        super().forget(partition)
        self._merges.pop(partition, None)

    async def _take(self, batch: Batch) -> int:
        partition, wall_ms = batch.partition, self._wall_ms()
        held = self._merges[partition]
        following = self._worker.follow(self.topic, partition, batch.records)
        for said in await self._decoded(batch, partials.decode):
            held.apply(said, wall_ms)
            await self._keep_up(partition, held.new_panes)
        account_for_refused(held)
        if following:
            for scope, what in following.by_scope():
                self._trails[partition].add(scope, what)
            following.end()
        return held.new_panes

    def _collect(self, partition: int) -> Iterable[Outgoing]:
        if held := self._merges.get(partition):
            yield from map(update_record, held.updates())
            self._trails[partition].clear()

    def advance(self, partition: int) -> None:
        self._due.committing(partition)
        if self._merges[partition].time.advance():
            self._due.changed(partition)

    def store(self, partition: int) -> None:
        changes = self._merges[partition].changes(self._wall_ms())
        self._windows.partition(partition).put({merge.encode_key(window): of for window, of in changes.items()})


def merge_restorer(settings: AggregateSettings) -> Callable[[int, Mapping[Window, Held], int], Merge]:
    """What restores a merge: partition, what its changelog holds, wall clock."""
    sources = range(topics.load()[topics.ACTIVITY].partitions)
    lateness_ms, grace_ms = settings.lateness_s * 1000, settings.grace_s * 1000
    return lambda partition, stored, wall_ms: Merge.restore(partition, sources, lateness_ms, grace_ms, stored, wall_ms)


def account_for_refused(held: Merge) -> None:
    telemetry.WINDOWS_REFUSED.inc(held.refused)
    held.refused = 0
