"""Which batch goes to which agent next: round robin over the shards, one batch of a partition at a time."""

import asyncio
from collections import defaultdict

from faust.types import TP

from batching.limits import Limits
from batching.records import Batch, Chunk
from batching.shard import Shard


class Delivery:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.shards: dict[int, Shard] = {}
        self._paused = False
        self._ready: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._turn: dict[str, int] = defaultdict(int)
        self._room = asyncio.Event()

    def wake(self) -> None:
        """Something may be to be had that was not before."""
        for ready in self._ready.values():
            ready.set()
        self._room.set()

    def pause(self, paused: bool) -> None:
        """Paused, nothing is fetched and no batch given out. What an agent has it finishes, and commits go on."""
        if paused != self._paused:
            self._paused = paused
            self.wake()

    def wanted(self) -> set[TP]:
        """The partitions to fetch now. One alone may have all that may wait; each may have a batch, however many."""
        if self._paused:
            return set()
        limits = self._limits
        waiting = {
            tp: shard.waiting(tp.topic) for shard in self.shards.values() if shard.open for tp in shard.partitions()
        }
        full = sum(waiting.values()) >= limits.buffer_bytes
        return {tp for tp, size in waiting.items() if not full or size < limits.batch_bytes}

    async def until_wanted(self, timeout_s: float) -> None:
        self._room.clear()
        try:
            await asyncio.wait_for(self._room.wait(), timeout_s)
        except TimeoutError:
            return

    def put(self, chunk: Chunk) -> None:
        """Left out where the shard is not open: it will be read again from its position."""
        shard = self.shards.get(chunk.tp.partition)
        if shard is not None and shard.open:
            shard.put(chunk)
            self._ready[chunk.tp.topic].set()

    async def take(self, topic: str) -> tuple[Shard, Batch]:
        """Waits for a batch. Lets the loop turn once in any case, however much there is. Cancelling loses nothing."""
        await asyncio.sleep(0)
        ready = self._ready[topic]
        while True:
            numbers = [] if self._paused else sorted(self.shards)
            for i in range(len(numbers)):
                number = numbers[(self._turn[topic] + i) % len(numbers)]
                shard = self.shards[number]
                if batch := shard.take(topic):
                    self._turn[topic] += i + 1
                    self._room.set()
                    return shard, batch
            ready.clear()
            await ready.wait()

    def finish(self, shard: Shard, batch: Batch) -> bool:
        finished = shard.finish(batch.tp.topic)
        self._ready[batch.tp.topic].set()
        return finished
