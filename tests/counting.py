"""Drives the counting app (tests/counting_app.py): its topics, a load with a known truth, its processes, its result."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError
from running import PROJECT, eventually

PARTITIONS = 4
STUDENTS = 500


class Counting:
    """One app with its topics; `sent` is the truth."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self.kafka = kafka
        self.name = f"counting-{uuid.uuid4().hex[:8]}"
        self.topic = f"{self.name}-in"
        self.sent: Counter[bytes] = Counter()
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self._stop = asyncio.Event()

    @property
    def changelog(self) -> str:
        return f"{self.name}-counts-changelog"

    async def create_topics(self) -> None:
        async with _admin(self.kafka) as admin:
            names = [self.topic, f"{self.topic}-out", f"{self.topic}-buried"]
            await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """`die="sent:3"` becomes COUNTING_DIE, and so on."""
        log = self.log(len(self.processes)).open("ab")
        process = subprocess.Popen(
            [sys.executable, "tests/counting_app.py"], cwd=PROJECT, stdout=log, stderr=log,
            env={
                **os.environ, "PYTHONPATH": str(PROJECT), "COUNTING_KAFKA": self.kafka, "COUNTING_TOPIC": self.topic,
                "COUNTING_APP": self.name, "COUNTING_ARRIVALS": str(self.arrivals),
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

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

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

    async def send(self, records: int, value: bytes = b"x" * 100) -> None:
        """Idempotent: what is sent is there once, also over a broker's restart. In batches: asyncio's debug mode makes
        single sends slow."""
        producer = await self._started()
        chosen = [random.randrange(STUDENTS) for _ in range(records)]
        futures = []
        for partition in range(PARTITIONS):
            batch = producer.create_batch()
            for student in (student for student in chosen if student % PARTITIONS == partition):
                if batch.append(key=b"s%04d" % student, value=value, timestamp=None) is None:
                    futures.append(await producer.send_batch(batch, self.topic, partition=partition))
                    batch = producer.create_batch()
                    batch.append(key=b"s%04d" % student, value=value, timestamp=None)
            futures.append(await producer.send_batch(batch, self.topic, partition=partition))
        await asyncio.gather(*futures)
        self.sent.update(b"s%04d" % student for student in chosen)

    async def _started(self) -> AIOKafkaProducer:
        if not hasattr(self, "_producer"):
            self._producer = AIOKafkaProducer(bootstrap_servers=self.kafka, enable_idempotence=True, linger_ms=5)
            await self._producer.start()
        return self._producer

    async def stop_sending(self) -> None:
        if hasattr(self, "_producer"):
            await self._producer.stop()

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

    async def counted(self) -> Counter[bytes]:
        """What the changelog says, as committed; of a partition's every key the last."""
        out: Counter[bytes] = Counter()
        for key, value in await committed_records(self.kafka, self.changelog):
            if key is not None and not key.startswith(b"\x00"):
                out[key] = int(value or 0)
        return out


async def committed_records(kafka: str, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    out = []
    async with AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed") as consumer:
        tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                out += [(record.key, record.value) for record in records]
    return out


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
