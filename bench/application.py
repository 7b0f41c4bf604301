"""The real `aggregate` application as a process, with the servers it needs, and how far it has come."""

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from prometheus_client.parser import text_string_to_metric_families

from bench import broker, cores
from bench.harness import PROJECT, BenchError
from stack import answers, ports
from stack.child import Child
from stack.valkey import Valkey
from wire import topics

GROUP = "aggregate"
PARTITIONS = topics.load()[topics.ACTIVITY].partitions
_READY_S_MAX = 60.0
_ANSWER_S_MAX = 10.0
_COMMITTED_S_MAX = 20.0
_POLL_S = 0.1


class Worker:
    """One process of the aggregate."""

    def __init__(self, home: Path, kafka: str, redis: str, name: str, pin: bool, module: str) -> None:
        self.port = ports.free()
        command = [sys.executable, "-m", module]
        self.child = Child(
            name,
            cores.pinned(command) if pin else command,
            log=home / f"{name}.log",
            pid_file=home / f"{name}.pid",
            cwd=PROJECT,
            env={
                **os.environ,
                "CLASSPULSE_KAFKA": kafka,
                "CLASSPULSE_REDIS_URL": f"redis://{redis}/0",
                "CLASSPULSE_WORKER_PORT": str(self.port),
            },
        )

    def ready(self) -> bool:
        return answers.http_status(f"http://{ports.HOST}:{self.port}/readyz") == 200

    def start(self) -> None:
        """Returns when it says that it is ready."""
        self.child.start()
        self.until(self.ready, _READY_S_MAX, "ready")

    def until(self, reached: Callable[[], bool], within_s: float, what: str) -> None:
        """Raises BenchError where it does not come, StackError where the process ends meanwhile."""
        deadline = time.monotonic() + within_s
        while not reached():
            if not self.child.running:
                raise self.child.died()
            if time.monotonic() > deadline:
                lines = "\n".join(self.child.tail())
                raise BenchError(f"{self.child.name} is not {what} after {within_s:.0f} s:\n{lines}")
            time.sleep(_POLL_S)

    def acknowledged(self, topic: str) -> int:
        """Records of a topic that its agent has been through with since it started, by its /metrics."""
        with urllib.request.urlopen(f"http://{ports.HOST}:{self.port}/metrics", timeout=_ANSWER_S_MAX) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = (sample for family in families for sample in family.samples)
        return int(
            sum(one.value for one in samples if one.name == "batching_records_total" and one.labels["topic"] == topic)
        )

    @property
    def rss_mb(self) -> float:
        return float(psutil.Process(self.child.pid).memory_info().rss) / 2**20


@dataclass
class Application:
    home: Path
    kafka: str
    redis: str

    def worker(self, name: str = "aggregate", *, pin: bool = True, module: str = "pipelines.aggregate.app") -> Worker:
        return Worker(self.home, self.kafka, self.redis, name, pin, module)

    def load(self, rate: float, seconds: float, students: int, name: str = "load") -> Child:
        """`bench.load`, not started yet. `name` begins its ids."""
        command = [sys.executable, "-m", "bench.load", "--kafka", self.kafka, "--rate", f"{rate}"]
        return Child(
            "load",
            [*command, "--seconds", f"{seconds:.0f}", "--students", f"{students}", "--name", name],
            log=self.home / "load.log",
            pid_file=self.home / "load.pid",
            cwd=PROJECT,
        )

    def committed(self, topic: str = topics.ACTIVITY) -> int:
        """Offsets the group has committed, added up over the partitions. Blocks some 10 ms."""
        return asyncio.run(self._committed(topic))

    def lag(self, topic: str = topics.ACTIVITY) -> int:
        """Offsets behind the committed ones."""
        return asyncio.run(self._end(topic)) - self.committed(topic)

    async def _committed(self, topic: str) -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(GROUP)
        except GroupCoordinatorNotAvailableError:  # a young broker has had no group yet
            return 0
        finally:
            await admin.close()
        return sum(max(0, at.offset) for tp, at in offsets.items() if tp.topic == topic)

    async def _end(self, topic: str) -> int:
        async with AIOKafkaConsumer(bootstrap_servers=self.kafka) as consumer:
            ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
            return sum(ends.values())

    def pace(self, worker: Worker, warm_s: float, for_s: float) -> tuple[int, float]:
        """Events that its agent was through with in a stretch, and the seconds that took. Call it with a backlog
        waiting. Returns when as many are committed too: commits come some seconds apart, and by the partition, so by
        them alone a stretch cannot be told exactly."""
        started, end = self.committed(), asyncio.run(self._end(topics.ACTIVITY))
        worker.until(lambda: self.committed() > started, _READY_S_MAX, "at its first commit")
        time.sleep(warm_s)
        before, begun_s = worker.acknowledged(topics.ACTIVITY), time.monotonic()
        time.sleep(for_s)
        after, ended_s = worker.acknowledged(topics.ACTIVITY), time.monotonic()
        if started + after >= end:
            raise BenchError(
                f"it was through with the {end - started:,} events of its backlog before the end: give it more"
            )
        worker.until(
            lambda: self.committed() >= started + after, _COMMITTED_S_MAX, f"at the commit of {after:,} events"
        )
        return after - before, ended_s - begun_s


@contextmanager
def running() -> Iterator[Application]:
    """Kafka with the topics of topics.yaml, and Valkey; no worker yet."""
    with broker.running() as kafka:
        home = kafka.home.parent
        valkey = Valkey(home / "valkey", cache=broker.CACHE)
        valkey.start()
        try:
            subprocess.run(
                [sys.executable, "-m", "cli.main", "topics", "apply", "--kafka", kafka.address],
                cwd=PROJECT, check=True, timeout=120, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            yield Application(home, kafka.address, valkey.address)
        finally:
            valkey.stop()
