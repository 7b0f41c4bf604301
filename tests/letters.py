"""Dead letters as the workers write them, and the topics that a test looks into."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from doors import make_topics
from running import eventually

from pipelines import dead_letters
from pipelines.records import Message
from wire import events, topics
from wire.dead_letters import Reason
from wire.events import ActivityEvent, Kind


def an_event(**changes: Any) -> ActivityEvent:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    given: dict[str, Any] = {
        "event_id": str(uuid.uuid4()), "student_id": "s1", "course_id": "py101", "kind": Kind.CODE_RUN,
        "occurred_at_ms": now_ms, "received_at_ms": now_ms, "source": "lms",
    }  # fmt: skip
    return ActivityEvent(**given | changes)


async def empty_topics(kafka: str) -> None:
    """Makes those anew that letters lie in, come from and go back to: tests that share a broker find nobody else's. And
    the audit, which would speak of offsets that are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        gone = {topics.ACTIVITY, topics.DEAD_LETTERS, topics.PARKED, topics.HANDLED, topics.AUDIT}
        await admin.delete_topics(list(gone))

        async def deleted() -> bool:
            """The broker says that it has deleted them, and for a while shows them still."""
            return gone.isdisjoint(await admin.list_topics())

        await eventually(deleted, 30, "the topics are gone")
    finally:
        await admin.close()
    await make_topics(kafka)


@dataclass
class Post:
    """Puts records into `activity` and their letters where the aggregate would."""

    kafka: str

    async def bury(self, value: bytes | None, reason: Reason, key: bytes | None = b"s1", detail: str = "why") -> str:
        """The letter's id."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all", max_request_size=2_000_000) as producer:
            bad = await producer.send_and_wait(topics.ACTIVITY, key=key, value=value)
            message = Message(bad.offset, bad.timestamp, key, value)
            letter = dead_letters.dead_letter(topics.ACTIVITY, bad.partition, message, reason, detail)
            data = dead_letters.write("aggregate", letter)
            sent = await producer.send_and_wait(topics.DEAD_LETTERS, key=letter.key, value=data)
        return f"{topics.DEAD_LETTERS}-{sent.partition}-{sent.offset}"

    async def bury_event(self, event: ActivityEvent, reason: Reason = Reason.FAILED, **given: Any) -> str:
        return await self.bury(events.encode(event), reason, key=event.student_id.encode(), **given)

    async def records(self, topic: str) -> list[Any]:
        """All of them, by partition and offset."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, enable_auto_commit=False)
        async with consumer:
            partitions = [TopicPartition(topic, number) for number in range(topics.load()[topic].partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            records: list[Any] = []
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for fetched in (await consumer.getmany(timeout_ms=500)).values():
                    records += fetched
        return sorted(records, key=lambda record: (record.partition, record.offset))

    async def lies(self, value: bytes | None) -> list[tuple[int, bytes | None]]:
        """Partition and key of each record of `activity` with these bytes."""
        return [(r.partition, r.key) for r in await self.records(topics.ACTIVITY) if r.value == value]


def events_of(records: list[Any]) -> list[ActivityEvent]:
    return [events.decode(record.value) for record in records]
