"""Faust's consumer, with our delivery in place of its per-record one.

Faust keeps: the aiokafka consumer in its own thread (heartbeats go on while the loop is busy), the group, the
assignor, the callbacks at a rebalance, the commit timer. Replaced: fetching, acknowledging and committing. Nothing is
fetched but for open shards, and a shard opens when no fetch is under way and its partitions have been sought, so what
was fetched before a rebalance or a seek cannot be taken for what comes after it.

Relies on Faust's Consumer._new_consumer_thread, on its commit timer calling commit() (transport/consumer.py), on
AIOKafkaConsumerThread._create_worker_consumer and _ensure_consumer (transport/drivers/aiokafka.py), on
AIOKafkaConsumer reading _fetch_max_wait_ms, _fetch_min_bytes, _isolation_level and _auto_offset_reset at its start, and
on aiokafka's client.fetch_all_metadata and force_metadata_update.
"""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from batching.records import Chunk

T = TypeVar("T")

_FETCH_S = 0.1  # a partition that has room again waits for no longer than that
_IDLE_S = 1.0


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = int(self.app.limits.fetch_max_wait_s * 1000)
        consumer._fetch_min_bytes = self.app.limits.fetch_min_bytes
        consumer._isolation_level = "read_committed"
        consumer._auto_offset_reset = "none"  # we seek; records deleted before they were read are not skipped silently
        return consumer

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it in the consumer's own loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    async def fetch(self, wanted: Collection[TP]) -> list[Chunk]:
        return await self.run(
            self.app.unpacker.fetch(self._ensure_consumer(), wanted, _FETCH_S, self.app.limits.batch_records)
        )

    async def missing(self, topics: Collection[str]) -> list[str]:
        """Those that the cluster does not have. If none, the group looks too, and rejoins where it had not seen one."""

        async def ask() -> list[str]:
            client = self._ensure_consumer()._client
            cluster = await client.fetch_all_metadata()
            out = sorted(topic for topic in topics if not cluster.partitions_for_topic(topic))
            if not out:
                await client.force_metadata_update()
            return out

        return await self.run(ask())

    async def seek_all(self, position: dict[TP, int]) -> None:
        async def seek() -> None:
            for tp, offset in position.items():
                self._ensure_consumer().seek(TopicPartition(*tp), offset)

        await self.run(seek())

    async def offsets(self, tps: Collection[TP]) -> dict[TP, tuple[int | None, int, int]]:
        """Committed or None, first and next offset of each."""

        async def ask() -> dict[TP, tuple[int | None, int, int]]:
            consumer = self._ensure_consumer()
            asked = [TopicPartition(*tp) for tp in tps]
            first, end = await consumer.beginning_offsets(asked), await consumer.end_offsets(asked)
            return {TP(*tp): (await consumer.committed(tp), first[tp], end[tp]) for tp in asked}

        return await self.run(ask())


class Consumer(driver.Consumer):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._fetch_idle = asyncio.Event()
        self._fetch_idle.set()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> ConsumerThread:
        thread: ConsumerThread = self._thread
        return thread

    async def until_idle(self) -> None:
        """Returns when the fetch that is under way, if any, has come back."""
        await self._fetch_idle.wait()

    @Service.task  # type: ignore[untyped-decorator]
    async def _deliver(self) -> None:
        delivery = self.app.delivery
        while not self.should_stop:
            wanted = delivery.wanted()
            if not wanted:
                await delivery.until_wanted(_IDLE_S)
                continue
            self._fetch_idle.clear()
            try:
                chunks = await self._thread.fetch(wanted)
            except ConsumerStoppedError:
                if self.should_stop or self.app.should_stop:
                    return
                raise
            finally:
                self._fetch_idle.set()
            for chunk in chunks:  # no await between the event and the last one
                delivery.put(chunk)

    async def commit(self, *_: Any, **__: Any) -> bool:
        """Flushes every partition. Not to be called by an agent within a batch: it waits for the batch's end."""
        return bool(await self.app.flush())

    async def verify_all_partitions_active(self) -> None:
        """Faust's watch looks at what it no longer counts; recoveries and flushes have deadlines of their own."""

    async def on_stop(self) -> None:
        """The app has flushed before; Faust would wait for acknowledgements that it does not get."""
        self.transport._topic_waiters.clear()


class Transport(driver.Transport):  # type: ignore[misc]
    Consumer = Consumer
