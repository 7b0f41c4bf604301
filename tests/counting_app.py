"""A small batching app, run as a process by the tests: counts records by key and window, publishes the counts, can die
on purpose.

COUNTING_* in the environment say which broker, topic and app. COUNTING_DIE="POINT:N" kills the process with SIGKILL at
the N-th time it passes a point of a flush: `published` (the counts are out, nothing of the flush is), `sent` (the
changelog is written, the offsets are not), `offsets` (both are, the commit is not), `committed` (it is).
COUNTING_SLEEP="POINT:N" stops it there with SIGSTOP. COUNTING_FAILS="publish", "restored" or "lost" raises in that
hook, "agent" ends the agent.
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

WINDOW_MS = 1_000  # short, so that a short test has many
BURIED_BYTES_MAX = 900_000  # below the 1 MB that a broker takes by default

TOPIC = os.environ["COUNTING_TOPIC"]
DIE, SLEEP = os.environ.get("COUNTING_DIE", ""), os.environ.get("COUNTING_SLEEP", "")
POINT, _, TIMES = (DIE or SLEEP).partition(":")
FAILS = os.environ.get("COUNTING_FAILS", "")
POISON = os.environ.get("COUNTING_POISON", "")  # "bisect": a bad record is buried. Else it is not looked for
ARRIVALS = os.environ.get("COUNTING_ARRIVALS", "")  # a file to note each restored and lost partition in

app = BatchingApp(
    os.environ["COUNTING_APP"],
    broker=f"kafka://{os.environ['COUNTING_KAFKA']}",
    limits=Limits(
        unpacker=os.environ.get("COUNTING_UNPACKER", "lean"),
        flush_timeout_s=float(os.environ.get("COUNTING_FLUSH", "15")),
        stop_s=float(os.environ.get("COUNTING_STOP", "10")),
    ),
    broker_commit_interval=0.2,
    broker_session_timeout=float(os.environ.get("COUNTING_SESSION", "1.5")),
    broker_heartbeat_interval=0.3,
    consumer_max_fetch_size=int(os.environ.get("COUNTING_FETCH_BYTES", "1000000")),
    topic_replication_factor=1,
    consumer_group_instance_id=os.environ.get("COUNTING_INSTANCE"),
    worker_redirect_stdouts=False,
)
source = app.batch_topic(TOPIC)
counts: Any = app.write_behind_table(
    "counts", source=TOPIC, encode=msgspec.json.encode, decode=msgspec.json.Decoder(int).decode
)
passed = 0


class Event(msgspec.Struct):
    n: int
    hang: bool = False


event_of = msgspec.json.Decoder(Event).decode


def pass_point(point: str) -> None:
    global passed
    if point == POINT:
        passed += 1
        if passed == int(TIMES):
            os.kill(os.getpid(), signal.SIGKILL if DIE else signal.SIGSTOP)


def fail_in(hook: str) -> None:
    if hook == FAILS:
        raise RuntimeError(f"told to fail in {hook}")


def note(what: str, partition: int) -> None:
    if ARRIVALS:
        with Path(ARRIVALS).open("a") as out:
            out.write(f"{os.getpid()} {what} {partition}\n")


def counted(record: Record) -> tuple[Any, Event]:
    """The key in the table, and what to add there."""
    if record.value is None:
        raise ValueError("no value")
    event = event_of(record.value)
    if POISON and record.key is None:
        raise ValueError("no key")
    return record.key and b"%s@%d" % (record.key, record.timestamp // WINDOW_MS), event


@app.agent(source)  # type: ignore[untyped-decorator]
async def count(batches: AsyncIterator[Batch]) -> None:
    async for batch in batches:
        table = counts.partition(batch.partition)

        def work(records: Sequence[Record], table: Any = table) -> None:
            found = [counted(record) for record in records]
            for key, event in found:
                table.data[key] = table.data.get(key, 0) + event.n
            table.touch(key for key, _ in found)

        async def bury(record: Record, error: Exception) -> None:
            reason = [("reason", str(error).encode()), ("offset", b"%d" % record.offset)]
            value = (record.value or b"")[:BURIED_BYTES_MAX]
            await app.producer.send_and_wait(f"{TOPIC}-buried", record.key, value, None, None, dict(reason))

        if POISON == "bisect":
            await bisect(batch, work, bury)
        else:
            half = len(batch.records) // 2
            work(batch.records[:half])
            if any(b'"hang"' in (record.value or b"") for record in batch.records):
                await asyncio.Event().wait()
            await asyncio.sleep(0.01)  # a flush that came now would tear the batch
            work(batch.records[half:])
        if FAILS == "agent":
            return


@app.before_commit
async def publish(partition: int) -> None:
    fail_in("publish")
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
    fail_in("restored")
    note("restored", partition)


@app.on_partition_lost
def lost(partition: int) -> None:
    fail_in("lost")
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
