"""No framework: aiokafka, msgspec, a dict, and once a second the changelog and then the offsets, awaited.

It joins no group, restores nothing and fences nobody. What is left is what the libraries below ours cost.
"""

import asyncio
import time
from collections import defaultdict

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.contestants.counting import Fresh, tune_gc
from bench.contestants.meter import Meter, arguments

COMMIT_S = 1.0
RECORDS_MAX = 5_000


async def main() -> None:
    args = arguments()
    tune_gc()
    changelog = f"{args.app}-counts-changelog"
    admin = AIOKafkaAdminClient(bootstrap_servers=args.kafka)
    await admin.start()
    topic = NewTopic(changelog, args.partitions, 1, topic_configs={"cleanup.policy": "compact"})
    await admin.create_topics([topic])
    await admin.close()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=args.kafka,
        group_id=args.app,
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * 2**20,
        fetch_max_wait_ms=50,
    )
    producer = AIOKafkaProducer(bootstrap_servers=args.kafka, acks="all")
    await consumer.start()
    await producer.start()
    partitions = [TopicPartition(args.topic, number) for number in range(args.partitions)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    fresh: defaultdict[int, Fresh] = defaultdict(Fresh)
    counts: defaultdict[int, dict[bytes, int]] = defaultdict(dict)
    ends: dict[TopicPartition, int] = {}
    meter = Meter(
        args, lambda: sum(sum(of.values()) for of in counts.values()) + sum(of.pending() for of in fresh.values())
    )

    async def write(partition: int) -> None:
        batch, sent = producer.create_batch(), []
        held = counts[partition]
        at_ms = int(time.time() * 1000)
        for key, events in fresh[partition].take():
            held[key] = total = held.get(key, 0) + events
            value = b"%d" % total
            if batch.append(key=key, value=value, timestamp=at_ms) is None:
                batch.close()
                sent.append(await producer.send_batch(batch, changelog, partition=partition))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=at_ms)
        if batch.record_count():
            batch.close()
            sent.append(await producer.send_batch(batch, changelog, partition=partition))
        await asyncio.gather(*sent)

    due_s = time.monotonic() + COMMIT_S
    while True:
        for tp, records in (await consumer.getmany(timeout_ms=200, max_records=RECORDS_MAX)).items():
            fresh[tp.partition].count(records)
            ends[tp] = records[-1].offset + 1
            meter.add(len(records))
        if time.monotonic() >= due_s:
            await asyncio.gather(*(write(tp.partition) for tp in ends))
            await consumer.commit(ends)
            ends = {}
            due_s = time.monotonic() + COMMIT_S


if __name__ == "__main__":
    asyncio.run(main())
