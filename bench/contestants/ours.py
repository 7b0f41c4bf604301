"""Faust by the batch: the hot loop counts into plain dicts, a commit adds what is new to the write-behind table."""

import sys
from collections import defaultdict
from typing import Any

import faust

from batching import BatchingApp, Limits, WriteBehindTable
from bench.contestants.counting import Fresh
from bench.contestants.meter import Meter, arguments

FETCH_BYTES = 4 * 2**20  # of one partition, as raw aiokafka has it here


def create(name: str, kafka: str, partitions: int, unpacker: str = "lean", *, declare: bool = True) -> BatchingApp:
    """`declare`: make the changelog; it is not there yet."""
    return BatchingApp(
        name,
        limits=Limits(unpacker=unpacker),
        broker=f"kafka://{kafka}",
        topic_partitions=partitions,
        topic_replication_factor=1,
        topic_allow_declare=declare,
        consumer_max_fetch_size=FETCH_BYTES,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )


def counts_of(app: BatchingApp, topic: str) -> WriteBehindTable[bytes, int]:
    return app.write_behind_table("counts", source=topic, encode=b"%d".__mod__, decode=int)


def main() -> None:
    args = arguments()
    app = create(args.app, args.kafka, args.partitions, "portable" if "portable" in args.option else "lean")
    activity = app.batch_topic(args.topic)
    counts = counts_of(app, args.topic)
    fresh: defaultdict[int, Fresh] = defaultdict(Fresh)

    def counted() -> int:
        written = sum(sum(counts.partition(number).data.values()) for number in fresh)
        return written + sum(of.pending() for of in fresh.values())

    meter = Meter(args, counted)

    async def count(batches: Any) -> None:
        async for batch in batches:
            fresh[batch.partition].count(batch.records)
            meter.add(len(batch.records))

    async def settle(partition: int) -> None:
        table = counts.partition(partition)
        held = table.data
        for key, events in fresh[partition].take():
            table[key] = held.get(key, 0) + events

    app.agent(activity)(count)
    app.before_commit(settle)
    worker = faust.Worker(app, loglevel="INFO", quiet=True, redirect_stdouts=False)
    worker.execute_from_commandline()
    sys.exit("stopped before the measurement was done")


if __name__ == "__main__":
    main()
