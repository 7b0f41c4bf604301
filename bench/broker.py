"""A real Kafka of the benchmarks' own on loopback, and filling its topics."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import murmur2

from bench.events import Sent
from stack.kafka import Kafka

CACHE = Path(os.environ.get("CLASSPULSE_CACHE") or Path(__file__).parent.parent / ".classpulse" / "cache")
BATCH_BYTES = 64 * 1024  # of one record batch: what a busy producer with a linger makes
_IN_FLIGHT = 64  # batches


@contextmanager
def running() -> Iterator[Kafka]:
    """Empty, with both of Java's compilers, in a folder that is removed with it. Blocks about 3 s."""
    home = Path(tempfile.mkdtemp(prefix="classpulse-bench-"))
    kafka = Kafka(home / "kafka", cache=CACHE, quick=False)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()
        shutil.rmtree(home, ignore_errors=True)


def partition_of(key: bytes, partitions: int) -> int:
    """As Kafka's own clients choose it."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def fill(
    address: str, topic: str, partitions: int, events: Iterable[Sent], configs: Mapping[str, str] | None = None
) -> float:
    """Makes the topic where it is missing and writes the events; the seconds it took. Blocks."""
    started = time.perf_counter()
    asyncio.run(_fill(address, topic, partitions, events, configs or {"retention.ms": "-1"}))
    return time.perf_counter() - started


async def create(address: str, topic: str, partitions: int, configs: Mapping[str, str]) -> None:
    """Nothing where it exists. Returns when every partition has its leader."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        if topic not in await admin.list_topics():
            await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(configs))])
    finally:
        await admin.close()
    async with AIOKafkaConsumer(bootstrap_servers=address) as consumer:
        await consumer.end_offsets([TopicPartition(topic, number) for number in range(partitions)])


async def _fill(address: str, topic: str, partitions: int, events: Iterable[Sent], configs: Mapping[str, str]) -> None:
    await create(address, topic, partitions, configs)
    async with AIOKafkaProducer(bootstrap_servers=address, acks=1, max_batch_size=BATCH_BYTES) as producer:
        where: dict[bytes, int] = {}
        open_batches = [producer.create_batch() for _ in range(partitions)]
        sent: set[asyncio.Future[object]] = set()

        async def close(partition: int) -> None:
            batch = open_batches[partition]
            open_batches[partition] = producer.create_batch()
            batch.close()
            sent.add(await producer.send_batch(batch, topic, partition=partition))
            while len(sent) > _IN_FLIGHT:
                done, _ = await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
                for future in done:
                    future.result()
                    sent.discard(future)

        for key, value, at_ms in events:
            partition = where.get(key, -1)
            if partition < 0:
                partition = where[key] = partition_of(key, partitions)
            if open_batches[partition].append(key=key, value=value, timestamp=at_ms) is None:
                await close(partition)
                open_batches[partition].append(key=key, value=value, timestamp=at_ms)
        for partition, batch in enumerate(open_batches):
            if batch.record_count():
                await close(partition)
        await asyncio.gather(*sent)


def changelogs(address: str) -> dict[str, int]:
    """Every topic that is a changelog, with the offsets its partitions have reached, added up. Blocks."""
    return asyncio.run(_changelogs(address))


async def _changelogs(address: str) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        topics = await admin.describe_topics([name for name in await admin.list_topics() if "changelog" in name])
    finally:
        await admin.close()
    if not topics:
        return {}
    async with AIOKafkaConsumer(bootstrap_servers=address) as consumer:
        found = {}
        for topic in topics:
            partitions = [TopicPartition(topic["topic"], part["partition"]) for part in topic["partitions"]]
            found[topic["topic"]] = sum((await consumer.end_offsets(partitions)).values())
        return found


def delete(address: str, topics: Iterable[str]) -> None:
    async def gone() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        try:
            await admin.delete_topics(list(topics))
        finally:
            await admin.close()

    asyncio.run(gone())
