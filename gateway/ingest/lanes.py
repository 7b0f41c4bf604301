"""Records of many requests, put together by partition: while one batch of it is under way, the next one fills.

A lane is one partition's, so a partition that stands still holds up only what goes there.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from aiokafka.errors import KafkaError, ProducerClosed
from aiokafka.partitioner import murmur2

from traces.context import Headers
from wire import topics

KEYS_REMEMBERED = 65_536  # hashes of students: some 10 MB

Record = tuple[bytes, bytes]  # key and value
Acknowledged = Callable[[int, int, int], None]  # partition, the first offset, the last

_hash = lru_cache(KEYS_REMEMBERED)(murmur2)


class Lot:
    """One batch of records."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Lane:
    def __init__(self, producer: Any, partition: int, acknowledged: Acknowledged, failed: Callable[[], None]) -> None:
        self._producer = producer
        self._partition = partition
        self._acknowledged = acknowledged
        self._failed = failed
        self._waiting: deque[Lot] = deque()
        self._task: asyncio.Task[None] | None = None
        self.given_up = 0  # requests that wait no longer for what they have here

    def put(self, records: Sequence[Record], at_ms: int, headers: Headers) -> set["asyncio.Future[None]"]:
        """Done, or failed with a KafkaError, when Kafka has all of them. They stay in order."""
        lots = set()
        for key, value in records:
            lot = self._waiting[-1] if self._waiting else None
            if lot is None or lot.builder.append(timestamp=at_ms, key=key, value=value, headers=headers) is None:
                lot = Lot(self._producer.create_batch())
                # The first always fits.
                lot.builder.append(timestamp=at_ms, key=key, value=value, headers=headers)
                self._waiting.append(lot)
            lots.add(lot.done)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send(), name=f"lane-{self._partition}")
        return lots

    async def _send(self) -> None:
        while self._waiting:
            lot = self._waiting.popleft()
            lot.builder.close()
            try:
                sent = await self._producer.send_batch(lot.builder, topics.ACTIVITY, partition=self._partition)
                found = await sent
            except (KafkaError, OSError) as error:
                self._fail([lot, *self._waiting], error)
                return
            except BaseException:
                self._fail([lot, *self._waiting], ProducerClosed())
                raise
            self._acknowledged(self._partition, found.offset, found.offset + lot.builder.record_count() - 1)
            if not lot.done.done():
                lot.done.set_result(None)

    def give_up(self, done: "asyncio.Future[None]") -> None:
        """Nobody waits any longer for what `put` gave."""
        self.given_up += 1
        done.add_done_callback(self._settle)

    def _settle(self, _: object) -> None:
        self.given_up -= 1

    def _fail(self, lots: Sequence[Lot], error: BaseException) -> None:
        # A batch that failed leaves a gap in its partition's sequence numbers, so that the broker refuses all that
        # follow: only a new producer goes on.
        self._waiting.clear()
        for lot in lots:
            if not lot.done.done():
                lot.done.set_exception(error)
                lot.done.exception()  # whoever waited may have gone
        self._failed()

    async def close(self, within_s: float) -> None:
        """What waits is sent, within about that time."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=within_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class Lanes:
    """Of one producer, which is not ours to close."""

    def __init__(self, producer: Any, acknowledged: Acknowledged, failed: Callable[[], None]) -> None:
        self._producer = producer
        self._acknowledged = acknowledged
        self._failed = failed
        self._lanes: dict[int, Lane] = {}

    async def sorted(self, records: Sequence[Record]) -> list[tuple[Lane, list[Record]]]:
        """By where Kafka's own clients would put them, in order. Raises KafkaError; waits where the topic is not known
        yet."""
        number = len(await self._producer.partitions_for(topics.ACTIVITY))
        found: dict[int, list[Record]] = {}
        for record in records:
            found.setdefault((_hash(record[0]) & 0x7FFFFFFF) % number, []).append(record)
        return [(self._lane(partition), some) for partition, some in found.items()]

    def _lane(self, partition: int) -> Lane:
        if partition not in self._lanes:
            self._lanes[partition] = Lane(self._producer, partition, self._acknowledged, self._failed)
        return self._lanes[partition]

    async def close(self, within_s: float) -> None:
        await asyncio.gather(*(lane.close(within_s) for lane in self._lanes.values()))
