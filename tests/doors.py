"""The door of a gateway with real servers: how a test posts to it, and how it reads what went in."""

import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import served
from aiokafka import AIOKafkaConsumer, TopicPartition
from running import eventually

from cli import broker
from gateway import roster, schema
from gateway.database import connected
from gateway.roster_file import Row
from gateway.security import keys
from wire import audit, events, topics
from wire.audit import Claimed
from wire.events import ActivityEvent
from wire.topics import Topic

URL = "/api/v1/events"

Place = tuple[int, int]  # partition and offset in `activity`


@dataclass
class AtTheDoor:
    client: httpx.AsyncClient
    kafka: str
    postgres_url: str
    key: str
    course: str  # of this test's own, as the topic is everybody's

    def event(self, **changes: object) -> dict[str, Any]:
        happened = datetime.now(UTC).isoformat()
        return {"student_id": "s1", "course_id": self.course, "kind": "code_run", "occurred_at": happened, **changes}

    async def post(self, body: object, **headers: str) -> httpx.Response:
        """`body`: bytes as they are, anything else as JSON. A header that is "" is left out."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(URL, content=content, headers={n: v for n, v in given.items() if v})

    async def opened(self) -> None:
        """Returns when an event has been accepted."""

        async def accepted() -> bool:
            return (await self.post(self.event(student_id="opener"))).status_code == 202

        await eventually(accepted, 30, "the door is open")

    async def published(self) -> list[ActivityEvent]:
        """This test's events, each where its key belongs, in order per student."""
        return [event for event, _ in await self.placed()]

    async def placed(self) -> list[tuple[ActivityEvent, Place]]:
        """The same, with where they lie."""
        found = []
        for record in await _read_all(self.kafka, topics.ACTIVITY):
            event = events.decode(record.value)
            if event.course_id == self.course:
                assert record.key == event.student_id.encode()
                found.append((event, (record.partition, record.offset)))
        return found

    async def claimed(self) -> Counter[Place]:
        """What all doors of this broker have claimed."""
        found: Counter[Place] = Counter()
        for record in await _read_all(self.kafka, topics.AUDIT):
            said = audit.decode(record.value)
            if isinstance(said, Claimed):
                assert said.partition == record.partition
                found.update((said.partition, at) for first, last in said.runs for at in range(first, last + 1))
        return found


@asynccontextmanager
async def at_the_door(kafka: str, postgres_url: str, **given: object) -> AsyncIterator[AtTheDoor]:
    """A gateway, with a key and two students; whether it is open yet is the test's affair."""
    key, course = await prepared(postgres_url)
    async with served.gateway(served.settings(kafka=kafka, postgres_url=postgres_url, **given)) as client:
        yield AtTheDoor(client, kafka, postgres_url, key, course)


async def prepared(postgres_url: str) -> tuple[str, str]:
    """A key, and a course with two students."""
    await schema.migrate(postgres_url)
    course = f"c-{uuid.uuid4().hex[:8]}"
    async with connected(postgres_url, 10) as database:
        team, none = Row("s1", "Kim", course, "Course", "t1", "Team"), Row("s2", "Lee", course, "Course", None, None)
        await roster.store(database, [team, none])
        return await keys.create(database, "lms"), course


async def make_topics(servers: str, wanted: Mapping[str, Topic] = topics.load()) -> None:
    """Those of topics.yaml, where nobody says."""
    async with broker.connected(servers, 30) as connected_:
        await connected_.mend(await connected_.plan(wanted))
        await connected_.settle(wanted)


async def placed_by_anybody(servers: str) -> set[Place]:
    """Where there are records in `activity`."""
    return {(record.partition, record.offset) for record in await _read_all(servers, topics.ACTIVITY)}


async def _read_all(servers: str, topic: str) -> list[Any]:
    """Every record, to its end as of now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, p) for p in range(topics.load()[topic].partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=1_000)).values():
                records += batch
        return records
    finally:
        await consumer.stop()


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Its body, which is a problem of that status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], bool(body["detail"])) == (status, True)
    return body
