"""Which partitions are ours: what happens when they are taken away, given, or found to be somebody else's.

Revoked: deliver nothing more, let the agents finish their batches, flush, stop the producers; keep the tables until
the next assignment says that they are gone. Assigned: start a producer for each partition (which fences every earlier
owner), restore what is not as we left it, wait for a fetch under way, seek, and only then deliver. Faust's own way
un-pauses before it seeks, and can lose records between the two.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

from faust.types import TP

from batching import telemetry
from batching.flush import flush
from batching.recovery import Recovery
from batching.shard import Shard
from batching.writer import Writer

log = logging.getLogger(__name__)

_ASK_S = 30.0  # for one step that asks the broker
_LOOK_S = 1.0  # between two looks for a topic that is not there
_SAY_S = 30.0  # between two lines that say so


class Ownership:
    def __init__(self, app: Any, recovery: Recovery) -> None:
        self._app = app
        self._recovery = recovery
        self._writers: dict[int, Writer] = {}
        self._parked: dict[int, Shard] = {}  # between a revocation and the assignment after it
        self._restoring: asyncio.Task[None] | None = None
        self._changes = 0  # rebalances seen

    @property
    def _shards(self) -> dict[int, Shard]:
        shards: dict[int, Shard] = self._app.delivery.shards
        return shards

    async def flush(self) -> None:
        """Every partition that is delivered now, one after the other: while one rests, the others are worked on."""
        for shard in list(self._shards.values()):
            if shard.open:
                await self._flush(shard)

    async def _flush(self, shard: Shard, last: bool = False) -> None:
        if not await flush(self._app, shard, self._writers[shard.number], last):
            await self._fenced(shard)

    async def _fenced(self, shard: Shard) -> None:
        log.warning("partition %d: another process has taken it over; its state is dropped", shard.number)
        telemetry.FENCED.labels(self._app.conf.id).inc()
        shard.lost = True
        shard.close()
        await self._rested(shard)
        await self._drop(shard)
        seen, grace_s = self._changes, 2 * self._app.conf.broker_session_timeout

        def still_ours() -> None:
            if self._changes == seen:
                self._app.fail(
                    f"partition {shard.number} was taken over by another producer {grace_s:.0f} s ago, yet the group "
                    f"still says that it is ours: is another app running with the id {self._app.conf.id}?"
                )

        asyncio.get_running_loop().call_later(grace_s, still_ours)

    async def release(self) -> None:
        """Before a rebalance, and before the end. Returns when everything acknowledged is committed."""
        self._changes += 1
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.gather(self._restoring, return_exceptions=True)
        shards = list(self._shards.values())
        delivered = [shard for shard in shards if shard.open]
        for shard in shards:
            shard.close()
        await asyncio.gather(*(self._flush(shard, last=True) for shard in delivered))
        await asyncio.gather(*(self._rested(shard) for shard in shards))
        for shard in shards:
            if shard in delivered and not shard.lost:
                self._parked[shard.number] = shard
            elif not shard.lost:
                await self._drop(shard)
        self._shards.clear()
        telemetry.HELD.labels(self._app.conf.id).set(0)
        await self._stop_writers()

    async def _rested(self, shard: Shard) -> None:
        """Also of a lost one: what its agent still does must not meet the state that is restored next."""
        try:
            await asyncio.wait_for(shard.at_rest(), self._app.limits.flush_timeout_s)
        except TimeoutError as error:
            self._app.fail(f"partition {shard.number}: an agent does not finish its batch", error)

    async def _stop_writers(self) -> None:
        writers, self._writers = self._writers, {}
        await asyncio.gather(*(writer.stop() for writer in writers.values()))

    async def _drop(self, shard: Shard) -> None:
        shard.lost = True
        for table in self._app.write_behind:
            table.drop(shard.number)
        telemetry.forget(self._app.conf.id, shard.topics, shard.number)
        if shard.restored:
            await _call(self._app.lost_hooks, shard.number)

    def assign(self, tps: Collection[TP]) -> None:
        """Restores in the background: the group's protocol goes on meanwhile."""
        self._changes += 1
        self._restoring = asyncio.create_task(self._restore_or_fail(set(tps)))

    async def _restore_or_fail(self, tps: set[TP]) -> None:
        try:
            await self._restore(tps)
        except Exception as error:
            self._app.fail("restoring failed", error)

    async def _restore(self, tps: set[TP]) -> None:
        began = time.monotonic()
        topics = self._app.batch_topics
        if strangers := {tp.topic for tp in tps} - set(topics):
            raise RuntimeError(f"not read by the batch, so not at all: {sorted(strangers)}")
        numbers = sorted({tp.partition for tp in tps})
        missing = {TP(topic, number) for topic in topics for number in numbers} - tps
        if missing or not tps:
            await self._until_topics_exist()
        if missing:
            raise RuntimeError(f"the batch topics of an app have equally many partitions; unlike them: {missing}")
        for number in sorted(set(self._parked) - set(numbers)):
            await self._drop(self._parked.pop(number))
        parked, self._parked = self._parked, {}
        shards = [parked.get(number) or Shard(number, topics, self._app.limits) for number in numbers]
        self._shards.update({shard.number: shard for shard in shards})
        self._writers = {number: Writer(self._app, number) for number in numbers}
        async with asyncio.timeout(_ASK_S):
            await asyncio.gather(*(writer.start() for writer in self._writers.values()))
        known = {number: dict(shard.ends) for number, shard in parked.items()}
        for shard in shards:
            shard.close()
        told = await self._recovery.restore(shards)
        positions, ends = await self._positions(tps, told)
        await self._app.consumer.until_idle()
        await self._app.consumer.thread.seek_all(positions)
        for shard in shards:
            if known.get(shard.number) != shard.ends or not shard.restored:
                if shard.restored:
                    await _call(self._app.lost_hooks, shard.number)
                shard.restored = True
                await _call(self._app.restored_hooks, shard.number)
            at = {topic: positions[TP(topic, shard.number)] for topic in topics}
            shard.committed = dict(told[shard.number])
            shard.begin(at, {topic: ends[TP(topic, shard.number)] for topic in topics})
        telemetry.HELD.labels(self._app.conf.id).set(len(shards))
        if numbers:
            log.info("partitions %s are ours after %.2f s", numbers, time.monotonic() - began)
        else:
            log.info("no partition is ours: other workers have them all; ready for one that gets free")
        self._app.delivery.wake()
        self._app.restored.set()
        self._app.on_rebalance_end()

    async def _until_topics_exist(self) -> None:
        """The rebalance that brings them cancels it."""
        began, said = time.monotonic(), -_SAY_S
        while missing := await self._app.consumer.thread.missing(self._app.batch_topics):
            now = time.monotonic() - began
            if now - said >= _SAY_S:
                said = now
                log.error("there is nothing to read: no topic %s, for %.0f s; waiting for it", ", ".join(missing), now)
            await asyncio.sleep(_LOOK_S)
        if said >= 0:
            await asyncio.sleep(_ASK_S)

    async def _positions(self, tps: set[TP], told: dict[int, dict[str, int]]) -> tuple[dict[TP, int], dict[TP, int]]:
        """Where to read on: as the changelogs tell, else as the group has committed, else as Faust's settings say. And
        where the partitions end."""
        async with asyncio.timeout(_ASK_S):
            offsets = await self._app.consumer.thread.offsets(tps)
        earliest = self._app.conf.consumer_auto_offset_reset == "earliest"
        out = {}
        for tp, (committed, first, end) in offsets.items():
            position = told[tp.partition].get(tp.topic, committed)
            if position is None:
                position = first if earliest else end
            elif committed is not None and committed != position:
                log.warning(
                    "%s: the group has committed %d, the tables stand at %d and are right; to read it again, delete "
                    "the app's changelogs too", tp, committed, position,
                )  # fmt: skip
            if position > end:
                raise RuntimeError(
                    f"{tp} was read up to {position}, yet ends at {end}: it was made anew, or has lost its end. To "
                    f"read it from its beginning, delete the app's changelogs and the offsets of its group"
                )
            if position < first:
                log.error("%s: records from %d to %d were deleted before they were read", tp, position, first)
                position = first
            out[tp] = position
        return out, {tp: end for tp, (_, _, end) in offsets.items()}


async def _call(hooks: Collection[Callable[[int], Any]], number: int) -> None:
    for hook in hooks:
        result = hook(number)
        if inspect.isawaitable(result):
            await result
