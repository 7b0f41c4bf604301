"""A small batching app, run as a process by the tests: counts records by key, publishes the counts, can die on purpose.

COUNTING_* in the environment say which broker, topic and app. COUNTING_DIE="POINT:N" kills the process with SIGKILL at
the N-th time it passes a point of a flush: `published` (the counts are out, nothing of the flush is), `sent` (the
changelog is written, the offsets are not), `offsets` (both are, the commit is not), `committed` (it is).
COUNTING_SLEEP="POINT:N" stops it there with SIGSTOP.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

import batching.writer
from batching import Batch, BatchingApp, Limits, bisect
from batching.records import Record

TOPIC = os.environ["COUNTING_TOPIC"]
DIE, SLEEP = os.environ.get("COUNTING_DIE", ""), os.environ.get("COUNTING_SLEEP", "")
POINT, _, TIMES = (DIE or SLEEP).partition(":")
POISON = os.environ.get("COUNTING_POISON", "")  # "bisect" or "crash"
ARRIVALS = os.environ.get("COUNTING_ARRIVALS", "")  # a file to note each restored and lost partition in

app = BatchingApp(
    os.environ["COUNTING_APP"],
    broker=f"kafka://{os.environ['COUNTING_KAFKA']}",
    limits=Limits(
        unpacker=os.environ.get("COUNTING_UNPACKER", "lean"),
        flush_timeout_s=float(os.environ.get("COUNTING_FLUSH", "15")),
    ),
    broker_commit_interval=0.2,
    broker_session_timeout=float(os.environ.get("COUNTING_SESSION", "3")),
    broker_heartbeat_interval=0.5,
    topic_replication_factor=1,
    consumer_group_instance_id=os.environ.get("COUNTING_INSTANCE"),
    worker_redirect_stdouts=False,
)
source = app.batch_topic(TOPIC)
counts: Any = app.write_behind_table(
    "counts", source=TOPIC, encode=msgspec.json.encode, decode=msgspec.json.Decoder(int).decode
)
passed = 0


def pass_point(point: str) -> None:
    global passed
    if point == POINT:
        passed += 1
        if passed == int(TIMES):
            os.kill(os.getpid(), signal.SIGKILL if DIE else signal.SIGSTOP)


def note(what: str, partition: int) -> None:
    if ARRIVALS:
        with Path(ARRIVALS).open("a") as out:
            out.write(f"{os.getpid()} {what} {partition}\n")


@app.agent(source)  # type: ignore[untyped-decorator]
async def count(batches: AsyncIterator[Batch]) -> None:
    async for batch in batches:
        table = counts.partition(batch.partition)

        def work(records: Sequence[Record], table: Any = table) -> None:
            keys = [record.key for record in records]
            if any(record.value == b"poison" for record in records):
                raise ValueError("poison")
            for key in keys:
                table.data[key] = table.data.get(key, 0) + 1
            table.touch(keys)

        async def bury(record: Record, error: Exception) -> None:
            await app.producer.send_and_wait(f"{TOPIC}-buried", record.key, str(error).encode(), None, None, None)

        if POISON == "bisect":
            await bisect(batch, work, bury, ValueError)
        else:
            half = len(batch.records) // 2
            work(batch.records[:half])
            if any(record.value == b"hang" for record in batch.records):
                await asyncio.Event().wait()
            await asyncio.sleep(0.01)  # a flush that came now would tear the batch
            work(batch.records[half:])


@app.before_commit
async def publish(partition: int) -> None:
    table = counts.partition(partition)
    sent = [
        await app.producer.send(f"{TOPIC}-out", key, b"%d" % table.data[key], partition, None, None)
        for key in list(table.dirty)[:50]
    ]
    await asyncio.gather(*sent)
    if table.dirty:
        pass_point("published")


@app.on_partition_restored
def restored(partition: int) -> None:
    note("restored", partition)


@app.on_partition_lost
def lost(partition: int) -> None:
    note("lost", partition)


class Mortal(AIOKafkaProducer):  # type: ignore[misc]
    """aiokafka's, which passes the points."""

    async def send_offsets_to_transaction(self, *arguments: Any) -> None:
        pass_point("sent")
        await super().send_offsets_to_transaction(*arguments)
        pass_point("offsets")

    async def commit_transaction(self) -> None:
        await super().commit_transaction()
        pass_point("committed")


if __name__ == "__main__":
    if POINT:
        setattr(batching.writer, "AIOKafkaProducer", Mortal)  # noqa: B010 - another library's class, not our code
    sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "info"]
    app.main()
