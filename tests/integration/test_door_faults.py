"""kill -9 of the gateway and of its broker, under 200 producers: what a producer was told is accepted lies in Kafka."""

import asyncio
import os
import sys
import uuid
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import served
from doors import AtTheDoor, make_topics, prepared
from running import PROJECT, eventually

from stack import ports
from stack.kafka import Kafka

PRODUCERS = 200
ENOUGH = 500  # events accepted between two faults


class Killable:
    """`python -m gateway`, as often as it takes, on one port."""

    def __init__(self, kafka: str, postgres_url: str, **settings: str) -> None:
        self.port = ports.free()
        self._process: Process | None = None
        self._env = {
            **os.environ,
            "CLASSPULSE_GATEWAY_PORT": str(self.port),
            "CLASSPULSE_KAFKA": kafka,
            "CLASSPULSE_POSTGRES_URL": postgres_url,
            "CLASSPULSE_REDIS_URL": served.settings().redis_url,
            "CLASSPULSE_RATE_LIMIT_EVENTS": "1000000/minute",
            "CLASSPULSE_PROBE_EVERY_S": "0",
            **settings,
        }

    async def start(self) -> None:
        self._process = await create_subprocess_exec(
            sys.executable, "-m", "gateway", cwd=PROJECT, env=self._env, stdout=DEVNULL, stderr=DEVNULL
        )

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def killable(kafka: str, postgres_url: str, **settings: str) -> AsyncIterator[tuple[Killable, AtTheDoor]]:
    """A gateway that is open, and its door."""
    await make_topics(kafka)
    key, course = await prepared(postgres_url)
    gateway = Killable(kafka, postgres_url, **settings)
    limits = httpx.Limits(max_connections=PRODUCERS)
    base = f"http://127.0.0.1:{gateway.port}"
    async with httpx.AsyncClient(base_url=base, limits=limits, timeout=30) as client:
        door = AtTheDoor(client, kafka, postgres_url, key, course)
        await gateway.start()
        try:
            await opened(door)
            yield gateway, door
        finally:
            await gateway.kill()


async def opened(door: AtTheDoor) -> None:
    async def accepted() -> bool:
        try:
            return (await door.post(door.event(student_id="opener"))).status_code == 202
        except httpx.TransportError:
            return False

    await eventually(accepted, 60, "the door is open")


class Producers:
    """Each posts one batch after another, and again what was not accepted, under the same ids."""

    def __init__(self, door: AtTheDoor) -> None:
        self._door = door
        self._going = True
        self.accepted: list[str] = []
        self.answers: set[int] = set()

    async def post_on(self, number: int) -> None:
        while self._going:
            batch = [self._door.event(student_id=f"p{number}", event_id=str(uuid.uuid4())) for _ in range(10)]
            while self._going:
                try:
                    response = await self._door.post(batch)
                except httpx.TransportError:
                    await asyncio.sleep(0.2)
                    continue
                self.answers.add(response.status_code)
                if response.status_code == 202:
                    self.accepted += [result["event_id"] for result in response.json()["results"]]
                    break
                await asyncio.sleep(0.2)

    def end(self) -> None:
        self._going = False

    async def more_accepted(self) -> None:
        goal = len(self.accepted) + ENOUGH

        async def enough() -> bool:
            return len(self.accepted) >= goal

        await eventually(enough, 60, f"{ENOUGH} more events are accepted")


async def test_nothing_accepted_is_missing_after_kills_of_the_gateway_and_of_kafka(
    own_kafka: Kafka, postgres_url: str
) -> None:
    async with killable(own_kafka.address, postgres_url) as (gateway, door):
        producers = Producers(door)
        async with asyncio.TaskGroup() as tasks:
            for number in range(PRODUCERS):
                tasks.create_task(producers.post_on(number))
            await producers.more_accepted()
            await gateway.kill()
            await gateway.start()
            await producers.more_accepted()
            own_kafka.kill()
            await asyncio.to_thread(own_kafka.start)
            await producers.more_accepted()
            await gateway.kill()
            producers.end()
        assert producers.answers <= {202, 503}
        assert len(producers.accepted) == len(set(producers.accepted))
        placed = {event.event_id for event in await door.published()}
        assert not set(producers.accepted) - placed


async def test_what_was_spooled_is_sent_by_the_next_gateway_after_kill_9(
    own_kafka: Kafka, postgres_url: str, tmp_path: Path
) -> None:
    spool = {"CLASSPULSE_SPOOL_FOLDER": str(tmp_path / "spool"), "CLASSPULSE_SPOOL_ACCEPTS": "true"}
    async with killable(own_kafka.address, postgres_url, **spool) as (gateway, door):
        own_kafka.kill()
        for number in range(30):
            response = await door.post([door.event(task_id=f"{number}"), door.event(task_id=f"{number}+")])
            assert response.status_code == 202
        await gateway.kill()
        await asyncio.to_thread(own_kafka.start)
        await gateway.start()
        wanted = [task for number in range(30) for task in (f"{number}", f"{number}+")]

        async def sent() -> list[str] | None:
            tasks = [event.task_id for event in await door.published() if event.task_id]
            return tasks if tasks[-1:] == wanted[-1:] else None

        assert await eventually(sent, 60, "what was spooled is in Kafka") == wanted
