"""One partition number of an app: where its topics are read, what waits for the agents, and when it is at rest.

The n-th partitions of all batch topics are one shard: they are assigned together, share the n-th partitions of the
tables, and are committed in one transaction.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from faust.types import TP

from batching.limits import Limits
from batching.records import Batch, Chunk, Record

_SAMPLES = 16


class Shard:
    """open: what is fetched is delivered. Otherwise it is being restored, or no longer ours."""

    def __init__(self, number: int, topics: Iterable[str], limits: Limits) -> None:
        self.number = number
        self.open = False
        self.restored = False  # the app has been told so
        self.lost = False  # its state is dropped and must not be committed
        self.stamps: dict[str, int] = {}  # by topic: epoch ms of the record acknowledged last
        self.position: dict[str, int] = {}  # by topic: the first offset that is not acknowledged
        self.committed: dict[str, int] = {}
        self.ends: dict[str, int | None] = {}  # by changelog: its end after our last transaction; None: not known
        self.highwater: dict[str, int] = {}
        self.flushing = asyncio.Lock()
        self._limits = limits
        self._fetched: dict[str, int] = {}  # by topic: the first offset that is not here
        self._queues: dict[str, deque[Batch]] = {topic: deque() for topic in topics}
        self._bytes: dict[str, int] = dict.fromkeys(self._queues, 0)
        self._running: dict[str, Batch] = {}
        self._frozen = False
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    @property
    def topics(self) -> Iterable[str]:
        return self._queues.keys()

    def begin(self, position: dict[str, int], ends: Mapping[str, int]) -> None:
        """Delivers from here on; the consumer has been sought there. `ends`: of its topics, as known."""
        self.highwater = dict(ends)
        self.position = dict(position)
        self._fetched = dict(position)
        self.open = True

    def close(self) -> None:
        """Nothing more is delivered; what an agent has now it may finish."""
        self.open = False
        for topic, queue in self._queues.items():
            queue.clear()
            self._bytes[topic] = 0

    def waiting(self, topic: str) -> int:
        """Bytes that no agent has taken yet."""
        return self._bytes[topic]

    def put(self, chunk: Chunk) -> None:
        topic = chunk.tp.topic
        records, since = chunk.records, self._fetched[topic]
        if chunk.next_offset <= since:
            return
        if records and records[0].offset < since:
            records = [record for record in records if record.offset >= since]
        self._fetched[topic] = chunk.next_offset
        self.highwater[topic] = max(chunk.highwater, chunk.next_offset)
        if not records:
            self._skip(topic, chunk.next_offset)
            return
        step = self._limits.batch_records
        for start in range(0, len(records), step):
            part = records if len(records) <= step else records[start : start + step]
            last = start + step >= len(records)
            batch = Batch(chunk.tp, part, chunk.next_offset if last else part[-1].offset + 1, _size(part))
            self._queues[topic].append(batch)
            self._bytes[topic] += batch.size

    def _skip(self, topic: str, to: int) -> None:
        """Control records and aborted ones are nobody's work."""
        queue = self._queues[topic]
        if queue:
            queue.append(queue.pop()._replace(next_offset=to))
        elif topic in self._running:
            self._running[topic] = self._running[topic]._replace(next_offset=to)
        else:
            self.position[topic] = to

    def take(self, topic: str) -> Batch | None:
        """The next batch of the topic, unless an agent has one of it, or a flush is gathering."""
        if self._frozen or not self.open or topic in self._running or not self._queues[topic]:
            return None
        batch = self._next(self._queues[topic])
        self._bytes[topic] -= batch.size
        self._running[topic] = batch
        self._at_rest.clear()
        return batch

    def _next(self, queue: deque[Batch]) -> Batch:
        """What has gathered while its agent was at work: of many small chunks one batch, so that what each costs by
        itself, such as a request to a store, is paid the more seldom the more there is."""
        parts, limits = [queue.popleft()], self._limits
        number, size = len(parts[0].records), parts[0].size
        while (
            queue
            and number + len(queue[0].records) <= limits.batch_records
            and size + queue[0].size <= limits.batch_bytes
        ):
            parts.append(queue.popleft())
            number += len(parts[-1].records)
            size += parts[-1].size
        if len(parts) == 1:
            return parts[0]
        return Batch(parts[0].tp, [record for part in parts for record in part.records], parts[-1].next_offset, size)

    def give_back(self, topic: str) -> None:
        """The agent has done nothing with the batch that it took, or what may be done again."""
        del self._running[topic]
        if not self._running:
            self._at_rest.set()

    def finish(self, topic: str) -> bool:
        """The agent has acknowledged the batch that it took; False where it has given it back."""
        if topic not in self._running:
            return False
        batch = self._running.pop(topic)
        self.position[topic] = batch.next_offset
        self.stamps[topic] = batch.records[-1].timestamp
        if not self._running:
            self._at_rest.set()
        return True

    async def at_rest(self) -> None:
        """Returns when no agent has a batch of it."""
        await self._at_rest.wait()

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """At a batch boundary of all its topics, for as long as the caller wants."""
        self._frozen = True
        try:
            await self._at_rest.wait()
            yield
        finally:
            self._frozen = False

    def lag(self, topic: str) -> int:
        """Offsets that are not acknowledged, as of the last fetch answer."""
        return max(0, self.highwater.get(topic, 0) - self.position.get(topic, 0))

    def partitions(self) -> list[TP]:
        return [TP(topic, self.number) for topic in self._queues]


def _size(records: Sequence[Record]) -> int:
    """Bytes, from a sample of them: counting each would cost more than it is worth."""
    stride = max(1, len(records) // _SAMPLES)
    sample = records[::stride]
    return sum(100 + len(r.value or b"") + len(r.key or b"") for r in sample) * len(records) // len(sample)
