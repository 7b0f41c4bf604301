"""The door of a gateway with real servers: how a test posts to it, and how it reads what went in."""

import json
import uuid
from collections.abc import AsyncIterator
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
from wire import events, topics
from wire.events import ActivityEvent

URL = "/api/v1/events"


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
        found = []
        for record in await _read_all(self.kafka):
            event = events.decode(record.value)
            if event.course_id == self.course:
                assert record.key == event.student_id.encode()
                found.append(event)
        return found


@asynccontextmanager
async def at_the_door(kafka: str, postgres_url: str, **given: object) -> AsyncIterator[AtTheDoor]:
    """A gateway, with a key and two students; whether it is open yet is the test's affair."""
    await schema.migrate(postgres_url)
    course = f"c-{uuid.uuid4().hex[:8]}"
    async with connected(postgres_url, 10) as database:
        team, none = Row("s1", "Kim", course, "Course", "t1", "Team"), Row("s2", "Lee", course, "Course", None, None)
        await roster.store(database, [team, none])
        key = await keys.create(database, "lms")
    async with served.gateway(served.settings(kafka=kafka, postgres_url=postgres_url, **given)) as client:
        yield AtTheDoor(client, kafka, postgres_url, key, course)


async def make_topics(servers: str) -> None:
    """Those of topics.yaml."""
    async with broker.connected(servers, 30) as connected_:
        await connected_.mend(await connected_.plan(topics.load()))
        await connected_.settle(topics.load())


async def _read_all(servers: str) -> list[Any]:
    """Every record of `activity`, to its end as of now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topics.ACTIVITY, p) for p in range(topics.load()[topics.ACTIVITY].partitions)]
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
