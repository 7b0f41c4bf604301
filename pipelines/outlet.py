"""Records to Kafka by the thousand: filled into record batches here, one request a partition, acknowledged together.

aiokafka's `send` costs a coroutine, a future and a hash in Python for each record; the names of scopes come again and
again, so their partitions are remembered.

Relies on aiokafka.partitioner.murmur2, which is what `send` goes by.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from traces.context import NO_HEADERS, Headers

BATCH_BYTES = 256_000  # below the 1 MB that a broker takes by default
KEYS_MAX = 500_000  # of a topic, some 60 MB; forgotten all at once, and learnt again


EVERYWHERE = -1


class Outgoing(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None  # None: by its key; EVERYWHERE: to each of the topic
    headers: Headers = NO_HEADERS


class Outlet:
    """A producer of its own, opened by its first use. Idempotent, and one parcel follows the other: records of one key
    arrive in the order they were put in."""

    def __init__(self, new_producer: Callable[[], AIOKafkaProducer], topics: Collection[str]) -> None:
        """`new_producer` is called within the loop."""
        self._new_producer = new_producer
        self._topics = topics
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._known: dict[str, dict[bytes, int]] = defaultdict(dict)  # topic → key → partition
        self._opening = asyncio.Lock()

    async def parcel(self) -> "Parcel":
        """Raises aiokafka's errors where the broker cannot be reached."""
        async with self._opening:
            if self._producer is None:
                producer = self._new_producer()
                await producer.start()
                for topic in self._topics:
                    self._partitions[topic] = len(await producer.partitions_for(topic))
                self._producer = producer
        return Parcel(self._producer, self._to)

    def _to(self, record: Outgoing) -> Iterable[int]:
        """The partitions it goes to."""
        topic, key, _, partition, _ = record
        if partition == EVERYWHERE:
            return range(self._partitions[topic])
        if partition is not None:
            return (partition,)
        if key is None:
            return (0,)  # nobody looks for it by its key
        known = self._known[topic]
        partition = known.get(key)
        if partition is None:
            if len(known) >= KEYS_MAX:
                known.clear()
            partition = known[key] = (murmur2(key) & 0x7FFFFFFF) % self._partitions[topic]
        return (partition,)

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.stop()


class Parcel:
    """What is sent and acknowledged together."""

    def __init__(self, producer: AIOKafkaProducer, to: Callable[[Outgoing], Iterable[int]]) -> None:
        self._producer = producer
        self._to = to
        self._filled: dict[tuple[str, int], list[Any]] = {}
        self._now_ms = int(time.time() * 1000)
        self.bytes = 0

    def put(self, record: Outgoing) -> None:
        topic, key, value, _, headers = record
        for partition in self._to(record):
            self.bytes += len(value or b"")
            batches = self._filled.setdefault((topic, partition), [])
            at_ms = self._now_ms
            if not batches or batches[-1].append(timestamp=at_ms, key=key, value=value, headers=headers) is None:
                batch = self._producer.create_batch()
                # Its first one it takes whatever the size.
                batch.append(timestamp=at_ms, key=key, value=value, headers=headers)
                batches.append(batch)

    async def delivered(self) -> None:
        """Sends it; returns when Kafka has acknowledged all of it. Raises aiokafka's errors, with any part of it sent:
        aiokafka has tried again for as long as its request timeout."""
        await asyncio.gather(*(self._deliver(*to, batches) for to, batches in self._filled.items()))

    async def _deliver(self, topic: str, partition: int, batches: list[Any]) -> None:
        sent = []
        for batch in batches:
            batch.close()
            sent.append(await self._producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
