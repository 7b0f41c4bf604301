"""Topics read from somewhere to their end, within a time limit, by nobody's group."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

REQUEST_TIMEOUT_MS = 5_000
FETCH_WAIT_MS = 500
BROKER_WAIT_MS = 20  # for more than there is: nobody needs it, and on the connection the next request waits behind it
CLOSING_S = 2.0  # beyond the time limit, at which reading stops by itself, with what it has
CHUNK = 2_000  # records looked at before the loop's other tasks get their turn: the door may be one of them

Progress = Callable[[int, int], None]  # records read, of how many


class KafkaAwayError(Exception):
    """Kafka cannot be reached, has not these topics, or did not answer in time; the message says which."""


class NotThereError(LookupError):
    """There is nothing of that name; the message says what there is."""


class NotAllReadError(Exception):
    """Time was up before all was read, so there is no answer, and nothing was done."""


@dataclass
class Tally:
    """How far a reading is."""

    progress: Progress = lambda _read, _total: None
    read: int = 0  # records
    total: int = 0

    @property
    def complete(self) -> bool:
        return self.read >= self.total


class Reading:
    """A consumer for one question. Made by `reading`."""

    def __init__(self, consumer: Any, partitions: Mapping[str, list[TopicPartition]], until: float) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._until = until  # by the loop's clock

    def partitions(self, topic: str) -> list[int]:
        return sorted(tp.partition for tp in self._partitions[topic])

    async def starts(self, topic: str, since_ms: int | None = None) -> dict[TopicPartition, int]:
        """Where reading begins in each partition."""
        if since_ms is not None:
            return await self.since(topic, dict.fromkeys(self.partitions(topic), since_ms))
        starts: dict[TopicPartition, int] = await self._consumer.beginning_offsets(self._partitions[topic])
        return starts

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        """The offset that each partition's next record will have."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._partitions[topic])
        return ends

    async def since(self, topic: str, times: Mapping[int, int]) -> dict[TopicPartition, int]:
        """Where reading begins in these partitions: partition → epoch ms."""
        wanted = {tp: max(0, times[tp.partition]) for tp in self._partitions[topic] if tp.partition in times}
        starts = await self._consumer.beginning_offsets(list(wanted))
        ends = await self._consumer.end_offsets(list(wanted))
        at = await self._consumer.offsets_for_times(wanted)
        return {tp: ends[tp] if at.get(tp) is None else max(starts[tp], at[tp].offset) for tp in wanted}

    async def records(
        self, starts: Mapping[TopicPartition, int], tally: Tally, within_s: float = math.inf
    ) -> AsyncGenerator[Any, None]:
        """From there to the ends as of now, each partition in order. Less where time is up: see `tally`."""
        consumer, clock = self._consumer, asyncio.get_running_loop().time
        until = min(self._until, clock() + within_s)
        ends = await consumer.end_offsets(list(starts))
        left = {tp for tp, start in starts.items() if start < ends[tp]}
        tally.total = sum(ends[tp] - starts[tp] for tp in left)
        consumer.assign(list(left))
        for tp in left:
            consumer.seek(tp, starts[tp])
        positions = {tp: starts[tp] for tp in left}
        while left and clock() < until:
            fetched = await consumer.getmany(*left, timeout_ms=FETCH_WAIT_MS, max_records=CHUNK)
            for tp, batch in fetched.items():
                for record in batch:
                    if record.offset < ends[tp]:
                        yield record
            await asyncio.sleep(0)  # what is fetched already is given without a pause
            for tp in left:
                positions[tp] = min(ends[tp], await consumer.position(tp))
            left = {tp for tp in left if positions[tp] < ends[tp]}
            tally.read = sum(position - starts[tp] for tp, position in positions.items())
            tally.progress(tally.read, tally.total)

    async def record(self, topic: str, partition: int, offset: int) -> Any:
        """Raises NotThereError."""
        tp = TopicPartition(topic, partition)
        if tp not in self._partitions[topic]:
            raise NotThereError(f"{topic} has no partition {partition}")
        begin = (await self._consumer.beginning_offsets([tp]))[tp]
        end = (await self._consumer.end_offsets([tp]))[tp]
        if not begin <= offset < end:
            there = f"has offsets {begin} to {end - 1}" if begin < end else "is empty"
            raise NotThereError(f"no offset {offset}: partition {partition} of {topic} {there}")
        self._consumer.assign([tp])
        self._consumer.seek(tp, offset)
        record = await self._consumer.getone(tp)
        if record.offset != offset:  # an end mark of a transaction
            raise NotThereError(f"no record at offset {offset} of partition {partition} of {topic}")
        return record


@asynccontextmanager
async def reading(servers: Sequence[str], timeout_s: float, topics: Iterable[str]) -> AsyncIterator[Reading]:
    """Raises KafkaAwayError for whatever goes wrong with Kafka within, and where it takes longer than `timeout_s`."""
    where = f"Kafka at {','.join(servers)}"
    try:
        async with asyncio.timeout(timeout_s + CLOSING_S):
            partitions = await _partitions(servers, topics)
            consumer = AIOKafkaConsumer(
                bootstrap_servers=list(servers),
                client_id="classpulse-admin",
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # retention may be quicker than we are
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                fetch_max_wait_ms=BROKER_WAIT_MS,
            )
            try:
                await consumer.start()
                yield Reading(consumer, partitions, asyncio.get_running_loop().time() + timeout_s)
            finally:
                await consumer.stop()
    except TimeoutError:
        raise KafkaAwayError(f"{where}: no answer within {timeout_s:g} s") from None
    except (KafkaError, OSError) as error:
        raise KafkaAwayError(f"{where}: {told(error)}") from error


async def _partitions(servers: Sequence[str], topics: Iterable[str]) -> dict[str, list[TopicPartition]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(servers), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    found = {
        topic["topic"]: [TopicPartition(topic["topic"], one["partition"]) for one in topic["partitions"]]
        for topic in described
        if topic["error_code"] == 0
    }
    if missing := sorted(set(topics) - found.keys()):
        raise KafkaAwayError(f"there is no topic {missing[0]}: `classpulse topics apply` makes it")
    return found


def told(error: BaseException) -> str:
    """aiokafka's own words for a refused connection say nothing more than that."""
    return "not reached" if isinstance(error, KafkaConnectionError) else str(error) or type(error).__name__
