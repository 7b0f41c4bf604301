"""A producer of Kafka that fails between two events of a batch, and one that fails as none should. The client library's
producer is stood in for: no broker fails at such a moment when told to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from aiokafka.errors import KafkaError, ProducerClosed
from running import eventually

from gateway.ingest.publisher import Publisher, PublisherAwayError
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


class Producer:
    """Takes every event and acknowledges none. It fails with the second, and is closed before the third."""

    def __init__(self) -> None:
        self.taken: list[asyncio.Future[Any]] = []
        self.stopped = asyncio.Event()

    async def start(self) -> None:
        """Connected at once."""

    async def send(self, *_: object) -> "asyncio.Future[Any]":
        if self.stopped.is_set():
            raise ProducerClosed
        if self.taken:
            self.taken[0].set_exception(KafkaError("out of order"))
            await self.stopped.wait()
        self.taken.append(asyncio.get_running_loop().create_future())
        return self.taken[-1]

    async def stop(self) -> None:
        self.stopped.set()


class Broken(Producer):
    async def start(self) -> None:
        raise ZeroDivisionError


class Standing(Publisher):
    def __init__(self, *producers: Callable[[], Producer]) -> None:
        super().__init__("nowhere:9092")
        self._producers = list(producers)

    def _new(self) -> Any:
        return self._producers.pop(0)()


@asynccontextmanager
async def started(*producers: Callable[[], Producer]) -> AsyncIterator[Publisher]:
    publisher = Standing(*producers)
    await publisher.start()
    yield publisher
    await publisher.stop()


async def refused(publisher: Publisher) -> str:
    with pytest.raises(PublisherAwayError) as refusal:
        await publisher.publish([EVENT] * 3)
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
