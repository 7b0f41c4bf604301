"""The topic `activity`, since a time to its ends as of now, read by nobody's group."""

import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, OffsetOutOfRangeError
from faust.types import TP

from batching.unpack import Unpacker
from pipelines.rebuild.in_step import InStep, Step
from wire import probe, topics

REQUEST_TIMEOUT_MS = 10_000
FETCH_MAX_WAIT_MS = 100  # other questions wait behind a fetch
FETCH_S = 1.0
CHUNK_RECORDS = 5_000  # of a partition
STALL_S = 30.0
# The groups on the way to the store, and what they read.
READERS = {"aggregate": (topics.ACTIVITY, topics.PARTIALS), "history": (topics.METRICS,)}


class NotReadError(Exception):
    """Kafka is away, or does not have all that is to be read; the message says which."""


class Stretch(NamedTuple):
    """What is read of a partition."""

    first: int  # offset
    end: int
    is_cut: bool  # what was before it has been deleted, and would have been read


class Activity:
    """Made by `reading`."""

    def __init__(
        self, consumer: Any, admin: Any, unpacker: Unpacker, stretches: Mapping[int, Stretch], asked_ms: int
    ) -> None:
        """`asked_ms`: wall clock up to which there was nothing behind the stretches."""
        self.stretches = stretches
        self.asked_ms = asked_ms
        self.read = 0  # records, or the places of records
        self.total = sum(of.end - of.first for of in stretches.values())
        self.begins_ms: dict[int, int] = {}  # timestamps of the first record that is read
        self.newest_ms: dict[int, int] = {}  # and of the last
        self._consumer = consumer
        self._admin = admin
        self._unpacker = unpacker

    async def steps(self) -> AsyncIterator[Step]:
        """All partitions in step by record time. Raises NotReadError, aiokafka's errors."""
        left = {TP(topics.ACTIVITY, number): of for number, of in self.stretches.items() if of.first < of.end}
        if not left:
            return
        held = InStep(tp.partition for tp in left)
        self._consumer.assign([TopicPartition(*tp) for tp in left])
        for tp, of in left.items():
            self._consumer.seek(TopicPartition(*tp), of.first)
        at = {tp: of.first for tp, of in left.items()}
        moved = time.monotonic()
        while not held.is_over:
            wanted = [TP(topics.ACTIVITY, number) for number in held.wanted]
            if not wanted:
                yield held.take()
                moved = time.monotonic()
                continue
            for chunk in await self._unpacker.fetch(self._consumer, wanted, FETCH_S, CHUNK_RECORDS):
                end = left[chunk.tp].end
                records = [record for record in chunk.records if record.offset < end]
                if records:
                    self.begins_ms.setdefault(chunk.tp.partition, records[0].timestamp)
                    activity = [record.timestamp for record in records if not _is_probe(record.key)]
                    self.newest_ms[chunk.tp.partition] = max(
                        activity[-1:] or [self.newest_ms.get(chunk.tp.partition, 0)]
                    )
                held.put(chunk.tp.partition, records)
                self.read += min(chunk.next_offset, end) - at[chunk.tp]
                at[chunk.tp] = min(chunk.next_offset, end)
                if chunk.next_offset >= end:
                    held.end(chunk.tp.partition)
                moved = time.monotonic()
            if time.monotonic() - moved > STALL_S:
                raise NotReadError(f"nothing came of {sorted(tp.partition for tp in wanted)} for {STALL_S:.0f} s")

    async def moving(self, since_ms: int) -> Collection[int]:
        """Partitions to which records have come since that record time, read here or not."""
        ends = await self._consumer.end_offsets([TopicPartition(topics.ACTIVITY, number) for number in self.stretches])
        return [
            tp.partition
            for tp, end in ends.items()
            if self.newest_ms.get(tp.partition, 0) >= since_ms or await self._comes(tp, end)
        ]

    async def _comes(self, tp: TopicPartition, end: int) -> bool:
        """Whether anything but probes has come behind what is read; so much that it is not looked at is something."""
        at = self.stretches[tp.partition].end
        if at >= end:
            return False  # nothing is asked of the consumer: assigned anew and not read from, it may never stop
        if end - at > CHUNK_RECORDS:
            return True
        self._consumer.assign([tp])
        self._consumer.seek(tp, at)
        while at < end:
            chunks = await self._unpacker.fetch(self._consumer, [TP(*tp)], FETCH_S, CHUNK_RECORDS)
            if not chunks or not all(_is_probe(record.key) for chunk in chunks for record in chunk.records):
                return True
            at = chunks[-1].next_offset
        return False

    def whole_from_ms(self, warm_up_ms: int, retention_ms: int) -> int:
        """Of windows that begin later nothing has been deleted; 0: of none. A partition that was used and is empty lost
        what it had to its retention, a while ago; one that is not may have lost it today, by hand."""
        cut = [number for number, of in self.stretches.items() if of.is_cut]
        begins_ms = [self.begins_ms.get(number, self.asked_ms - retention_ms) for number in cut]
        return max(begins_ms) + warm_up_ms if cut else 0

    async def unread(self) -> dict[str, int]:
        """Group → records it has not committed yet, where the broker says so."""
        out = {}
        for group, read in READERS.items():
            try:
                committed = await self._admin.list_consumer_group_offsets(group)
            except KafkaError:  # where nobody has ever committed, or the coordinator is about to move
                continue
            tps = [tp for topic in read for tp in await _partitions(self._admin, topic)]
            starts = await self._consumer.beginning_offsets(tps)
            ends = await self._consumer.end_offsets(tps)
            out[group] = sum(ends[tp] - (committed[tp].offset if tp in committed else starts[tp]) for tp in tps)
        return out


@asynccontextmanager
async def reading(servers: str, unpacker: Unpacker, since_ms: int) -> AsyncIterator[Activity]:
    """`since_ms`: record time. Raises NotReadError for whatever goes wrong with Kafka within."""
    given = {"bootstrap_servers": servers.split(","), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    # Deleted while they are read, records would else be skipped.
    consumer = AIOKafkaConsumer(
        **given, client_id="classpulse-rebuild", auto_offset_reset="none", fetch_max_wait_ms=FETCH_MAX_WAIT_MS
    )
    admin = AIOKafkaAdminClient(**given)
    try:
        await admin.start()
        await consumer.start()
        tps = await _partitions(admin, topics.ACTIVITY)
        asked_ms = int(time.time() * 1000)
        yield Activity(consumer, admin, unpacker, await _stretches(consumer, tps, since_ms), asked_ms)
    except OffsetOutOfRangeError as error:
        raise NotReadError(f"records of {topics.ACTIVITY} were deleted while they were read: {error}") from None
    except (KafkaError, TimeoutError) as error:
        # aiokafka's own words for a refused connection say nothing more than that.
        said = "not reached" if isinstance(error, KafkaConnectionError) else str(error) or type(error).__name__
        raise NotReadError(f"Kafka at {servers}: {said}") from error
    finally:
        await consumer.stop()
        await admin.close()


async def _stretches(consumer: Any, tps: Collection[TopicPartition], since_ms: int) -> dict[int, Stretch]:
    begins = await consumer.beginning_offsets(tps)
    ends = await consumer.end_offsets(tps)
    at = await consumer.offsets_for_times(dict.fromkeys(tps, max(0, since_ms)))
    out = {}
    for tp in tps:
        first = ends[tp] if at.get(tp) is None else max(begins[tp], at[tp].offset)
        out[tp.partition] = Stretch(min(first, ends[tp]), ends[tp], is_cut=first == begins[tp] > 0)
    return out


def _is_probe(key: bytes | None) -> bool:
    return key is not None and key.startswith(probe.PREFIX.encode())


async def _partitions(admin: Any, topic: str) -> list[TopicPartition]:
    (described,) = await admin.describe_topics([topic])
    if described["error_code"]:
        raise NotReadError(f"there is no topic {topic}: `classpulse topics apply` makes it")
    return [TopicPartition(topic, one["partition"]) for one in described["partitions"]]
