"""A producer of Kafka that fails between two events of a batch, and one that fails as none should. The client library's
producer is stood in for: no broker fails at such a moment when told to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import structlog
from aiokafka.errors import KafkaError, ProducerClosed
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata
from running import eventually

from gateway.ingest.publisher import KEY_MAX_BYTES, Publisher, PublisherAwayError
from wire import events
from wire.events import ActivityEvent, Kind

EVENT = ActivityEvent(
    event_id="0190a3e0-0000-7000-8000-000000000001",
    student_id="s1",
    course_id="c",
    kind=Kind.OTHER,
    occurred_at_ms=1,
    received_at_ms=1,
    source="lms",
)


EVENT_OF_ANOTHER = msgspec.structs.replace(EVENT, student_id="s11")
assert len({(murmur2(event.student_id.encode()) & 0x7FFFFFFF) % 8 for event in (EVENT, EVENT_OF_ANOTHER)}) == 1


class Producer:
    """Takes every batch and acknowledges none. It fails with the second, and is closed before the third."""

    def __init__(self) -> None:
        self.taken: list[asyncio.Future[Any]] = []
        self.stopped = asyncio.Event()

    async def start(self) -> None:
        """Connected at once."""

    async def partitions_for(self, _: str) -> set[int]:
        return set(range(8))

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(1_000, 0)

    async def send_batch(self, builder: BatchBuilder, _: str, *, partition: int) -> "asyncio.Future[Any]":
        if self.stopped.is_set():
            raise ProducerClosed
        if self.taken and not self.taken[0].done():
            self.taken[0].set_exception(KafkaError(f"out of order in partition {partition}"))
            await self.stopped.wait()
        assert builder.record_count()
        self.taken.append(asyncio.get_running_loop().create_future())
        return self.taken[-1]

    async def stop(self) -> None:
        self.stopped.set()


class Slow(Producer):
    """Acknowledges when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[int, int] = {}
        self.keys: list[bytes] = []
        self.going = asyncio.Event()

    async def send_batch(self, builder: BatchBuilder, _: str, *, partition: int) -> "asyncio.Future[Any]":
        async def acknowledged() -> RecordMetadata:
            await self.going.wait()
            first = self.ends.get(partition, 0)
            self.ends[partition] = first + builder.record_count()
            return RecordMetadata("activity", partition, None, first, 0, 0, 0)

        return asyncio.ensure_future(acknowledged())


class Broken(Producer):
    async def start(self) -> None:
        raise ZeroDivisionError


class Standing(Publisher):
    def __init__(self, *producers: Callable[[], Producer]) -> None:
        self.claimed: list[tuple[int, int, int]] = []
        super().__init__("nowhere:9092", lambda *run: self.claimed.append(run))
        self._producers = list(producers)

    def _new(self) -> Any:
        self.last = self._producers.pop(0)()
        return self.last


@asynccontextmanager
async def started(*producers: Callable[[], Producer]) -> AsyncIterator[Standing]:
    publisher = Standing(*producers)
    await publisher.start()
    yield publisher
    await publisher.stop()


async def refused(publisher: Publisher) -> str:
    with pytest.raises(PublisherAwayError) as refusal:
        await publisher.publish([msgspec.structs.replace(EVENT, student_id=f"s{number}") for number in range(30)])
    return str(refusal.value)


async def test_a_producer_replaced_in_the_middle_of_a_batch_is_an_outage_not_a_fault() -> None:
    async with started(Producer, Producer) as publisher:

        async def closed() -> bool:
            return "ProducerClosed" in await refused(publisher)

        await eventually(closed, 10, "the producer was closed under the batch")


async def test_an_error_nobody_foresaw_is_told_and_another_producer_made() -> None:
    with structlog.testing.capture_logs() as lines:
        async with started(Broken, Producer, Producer) as publisher:

            async def connected() -> bool:
                return "not connected" not in await refused(publisher)

            await eventually(connected, 10, "another producer")
    assert any(line["log_level"] == "error" and line["exc_info"] for line in lines)


async def connection(publisher: Standing) -> Slow:
    async def there() -> bool:
        return publisher._lanes is not None

    await eventually(there, 10, "it is connected")
    assert isinstance(publisher.last, Slow)
    return publisher.last


async def test_a_student_who_floods_waits_and_others_of_his_partition_do_not() -> None:
    async with started(Slow) as publisher:
        producer = await connection(publisher)
        large = msgspec.structs.replace(EVENT, task_id="t" * 128)
        flood = [asyncio.create_task(publisher.publish([large] * 500)) for _ in range(40)]
        await asyncio.sleep(0)
        others = [asyncio.create_task(publisher.publish([EVENT_OF_ANOTHER])) for _ in range(40)]
        await asyncio.sleep(0)
        producer.going.set()
        await asyncio.gather(*others)
        done = await asyncio.gather(*flood, return_exceptions=True)
        refused_ = [error for error in done if isinstance(error, PublisherAwayError)]
        assert {str(error) for error in refused_} == {"Kafka is slower than events of one student arrive"}
        assert 0 < (len(done) - len(refused_)) * 500 * len(events.encode(large)) <= KEY_MAX_BYTES
        await publisher.publish([large] * 500)  # what was under way no longer counts
        # Each offset is claimed once, in order.
        ends = {partition: 0 for partition, _, _ in publisher.claimed}
        for partition, first, last in publisher.claimed:
            assert first == ends[partition]
            ends[partition] = last + 1
        assert ends == producer.ends


async def test_a_stop_finishes_what_was_begun() -> None:
    async with started(Slow) as publisher:
        producer = await connection(publisher)
        begun = [asyncio.create_task(publisher.publish([EVENT] * 10)) for _ in range(3)]
        await asyncio.sleep(0)
        stopping = asyncio.create_task(publisher.stop())
        await asyncio.sleep(0)
        producer.going.set()
        await asyncio.gather(*begun, stopping)
        assert sum(producer.ends.values()) == 30
        with pytest.raises(PublisherAwayError, match="not connected"):
            await publisher.publish([EVENT])
