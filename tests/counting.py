"""Drives the counting app (tests/counting_app.py): its topics, a load with a known truth, its processes, its result."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupCoordinatorNotAvailableError
from counting_truth import Follower, Truth, committed_records, follow, window_of
from running import PATIENCE, PROJECT, eventually

PARTITIONS = 4
STUDENTS = 500
SESSION_S = 1.5 * PATIENCE  # after so long a killed worker is missed
GOOD = b'{"n":1,"what":"%s"}' % (b"x" * 80)


class Counting:
    """One app with its topics; `sent` says how many events each window has. Its workers ask the broker at `kafka`, and
    so does the load where `direct` says no other way."""

    def __init__(self, kafka: str, folder: Path, direct: str = "", seed: int | None = None) -> None:
        self.kafka = direct or kafka
        self._workers_kafka = kafka
        self._random = random.Random(seed)
        self.name = f"counting-{uuid.uuid4().hex[:8]}"
        self.topic = f"{self.name}-in"
        self.sent: Counter[bytes] = Counter()
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self._stop = asyncio.Event()

    @property
    def changelog(self) -> str:
        return f"{self.name}-counts-changelog"

    async def create_topics(self, **source: str) -> None:
        """`source`: configuration of the topic that is counted, with _ for a dot."""
        configs = {name.replace("_", "."): value for name, value in source.items()}
        async with _admin(self.kafka) as admin:
            others = [f"{self.topic}-out", f"{self.topic}-buried"]
            await admin.create_topics(
                [
                    NewTopic(self.topic, PARTITIONS, 1, topic_configs=configs),
                    *(NewTopic(name, PARTITIONS, 1) for name in others),
                ]
            )

    async def create_changelog(self) -> None:
        """As the app would: for who wants to follow it before there is a worker."""
        async with _admin(self.kafka) as admin:
            await admin.create_topics(
                [NewTopic(self.changelog, PARTITIONS, 1, topic_configs={"cleanup.policy": "compact"})]
            )

    async def delete_topic(self) -> None:
        async with _admin(self.kafka) as admin:
            await admin.delete_topics([self.topic, f"{self.topic}-out", f"{self.topic}-buried"])

    async def configure(self, topic: str, name: str, value: str) -> None:
        async with _admin(self.kafka) as admin:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])

            async def told() -> bool:
                (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
                return any(entry[:2] == (name, value) for *_, entries in answer.resources for entry in entries)

            await eventually(told, 30, f"{topic} has {name}={value}")

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """`die="sent:3"` becomes COUNTING_DIE, and so on."""
        log = self.log(len(self.processes)).open("ab")
        process = subprocess.Popen(
            [sys.executable, "tests/counting_app.py"], cwd=PROJECT, stdout=log, stderr=log,
            env={
                **os.environ, "PYTHONPATH": str(PROJECT), "COUNTING_KAFKA": self._workers_kafka,
                "COUNTING_TOPIC": self.topic, "COUNTING_APP": self.name, "COUNTING_ARRIVALS": str(self.arrivals),
                "COUNTING_SESSION": str(SESSION_S),
                **{f"COUNTING_{name.upper()}": value for name, value in environment.items()},
            },
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        return process

    def log(self, number: int) -> Path:
        return self._folder / f"{self.name}-{number}.log"

    @property
    def arrivals(self) -> Path:
        return self._folder / f"{self.name}.arrivals"

    async def held(self, pid: int) -> int:
        """Partitions that the process has said to have restored and not lost."""
        if not self.arrivals.exists():
            return 0
        now: set[str] = set()
        for line in self.arrivals.read_text().splitlines():
            by, what, partition = line.split()
            if int(by) == pid:
                now.add(partition) if what == "restored" else now.discard(partition)
        return len(now)

    async def holds(self, process: subprocess.Popen[bytes], *numbers: int) -> None:
        """Returns when it holds one of these numbers of partitions."""

        async def held() -> bool:
            return await self.held(process.pid) in numbers

        await eventually(held, 60, f"{process.pid} of {self.name} holds {numbers} partitions")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        if hasattr(self, "_producer"):
            await self._producer.stop()

    @contextlib.asynccontextmanager
    async def load(self, per_s: int = 5_000) -> AsyncIterator[None]:
        """Sends all the while; after it everything sent is acknowledged, and counted in `sent`."""
        self._stop.clear()
        task = asyncio.create_task(self._send_until_stopped(per_s))
        try:
            yield
        finally:
            self._stop.set()
            await task

    async def _send_until_stopped(self, per_s: int) -> None:
        while not self._stop.is_set():
            began = asyncio.get_running_loop().time()
            await self.send(per_s // 10)
            left = 0.1 - (asyncio.get_running_loop().time() - began)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), max(0.0, left))

    async def send(self, records: int, value: bytes = GOOD) -> None:
        """Idempotent: what is sent is there once, also over a broker's restart. In batches: asyncio's debug mode makes
        single sends slow."""
        producer = await self._started()
        chosen = [self._random.randrange(STUDENTS) for _ in range(records)]
        futures = []
        now_ms = int(time.time() * 1000)
        for partition in range(PARTITIONS):
            batch = producer.create_batch()
            for student in (student for student in chosen if student % PARTITIONS == partition):
                if batch.append(key=b"s%04d" % student, value=value, timestamp=now_ms) is None:
                    futures.append(await producer.send_batch(batch, self.topic, partition=partition))
                    batch = producer.create_batch()
                    batch.append(key=b"s%04d" % student, value=value, timestamp=now_ms)
            futures.append(await producer.send_batch(batch, self.topic, partition=partition))
        await asyncio.gather(*futures)
        if value == GOOD:
            self.sent.update(window_of(b"s%04d" % student, now_ms) for student in chosen)

    async def send_bad(self, key: bytes | None, value: bytes | None, partition: int, topic: str = "") -> None:
        """What is not to be counted."""
        producer = await self._started()
        batch = producer.create_batch()  # send() takes no record without key and value
        batch.append(key=key, value=value, timestamp=None)
        await (await producer.send_batch(batch, topic or self.topic, partition=partition))

    async def _started(self) -> AIOKafkaProducer:
        if not hasattr(self, "_producer"):
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self.kafka, enable_idempotence=True, linger_ms=5, max_request_size=8_000_000
            )
            await self._producer.start()
        return self._producer

    async def lag(self) -> int:
        async with _admin(self.kafka) as admin, AIOKafkaConsumer(bootstrap_servers=self.kafka) as consumer:
            tps = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
            committed = await _offsets(admin, self.name)
            ends = await consumer.end_offsets(tps)
            return sum(end - (committed[tp].offset if tp in committed else 0) for tp, end in ends.items())

    async def committed(self) -> int:
        """Offsets committed by the app, over all partitions."""
        async with _admin(self.kafka) as admin:
            offsets = await _offsets(admin, self.name)
            return sum(max(0, told.offset) for tp, told in offsets.items() if tp.topic == self.topic)

    async def drained(self, within_s: float = 60) -> None:
        async def done() -> bool:
            return await self.lag() == 0

        await eventually(done, within_s, f"{self.name} has committed the end; see {self.log(0)}")

    def heir(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """The process itself; another like it, where it has ended because its broker went in the middle of a commit and
        did not come back in time. Whoever supervises workers does the same."""
        if process.poll() is None:
            return process
        said = self.log(self.processes.index(process)).read_text()
        assert "leaving: partition" in said, said[-3000:]
        return self.start()

    async def carried_through(self, process: subprocess.Popen[bytes]) -> None:
        """All is committed, by it or its heir."""

        async def through() -> bool:
            nonlocal process
            process = self.heir(process)
            return await self.lag() == 0

        await eventually(through, 120, f"it goes on; see {self.log(0)}")

    async def counted(self) -> Counter[bytes]:
        """What the changelog says, as committed: by window."""
        out: Counter[bytes] = Counter()
        follow(out, await committed_records(self.kafka, self.changelog, PARTITIONS))
        return out

    async def buried(self) -> list[tuple[bytes | None, bytes | None]]:
        records = await committed_records(self.kafka, f"{self.topic}-buried", PARTITIONS)
        return [(record.key, record.value) for record in records]

    @contextlib.asynccontextmanager
    async def truth(self) -> AsyncIterator[Truth]:
        """Once the changelog is there."""
        async with (
            Follower(self.kafka, self.topic, PARTITIONS) as source,
            Follower(self.kafka, self.changelog, PARTITIONS) as changelog,
        ):
            yield Truth(source, changelog)


@contextlib.asynccontextmanager
async def _admin(kafka: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _offsets(admin: AIOKafkaAdminClient, group: str) -> Any:
    try:
        return await admin.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:
        return {}  # the broker's first group: it makes the topic of the offsets
