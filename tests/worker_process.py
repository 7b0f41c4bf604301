"""A worker as a process, and the topics it reads and writes, for the tests that kill it and take its servers away."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from doors import make_topics
from running import PROJECT, eventually

from stack import ports
from stack.kafka import Kafka
from wire import metrics, topics
from wire.metrics import Metric, MetricPoint, ScopeUpdate

PARTITIONS = topics.load()[topics.ACTIVITY].partitions


def apply_topics(kafka: Kafka) -> None:
    """For a fixture that has no loop."""
    asyncio.run(make_topics(kafka.address))


class WorkerProcess:
    """`python -m pipelines.<app>.app`, with its log and its own port. `settings`: CLASSPULSE_* in lower case."""

    def __init__(self, app: str, kafka: str, log: Path, **settings: object) -> None:
        self.app = app
        self.port = ports.free()
        self.log = log
        self._environment = {
            **os.environ,
            "CLASSPULSE_KAFKA": kafka,
            "CLASSPULSE_WORKER_PORT": str(self.port),
            "CLASSPULSE_SESSION_S": "2.5",  # what a killed one holds is free sooner
            **{f"CLASSPULSE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        return [sys.executable, "-m", f"pipelines.{self.app}.app"]

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=PROJECT, env=self._environment, stdout=log, stderr=log
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 where it does not answer."""

        def ask() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()
            except OSError:
                return 0, ""

        return await asyncio.to_thread(ask)

    async def ready(self) -> bool:
        return (await self.get("/readyz"))[0] == 200

    async def until_ready(self) -> None:
        await eventually(self.ready, 60, f"{self.app} is ready; see {self.log}")

    async def reason(self) -> str:
        """Why it is not ready."""
        status, body = await self.get("/readyz")
        return str(json.loads(body)["reason"]) if status == 503 else ""

    async def metric(self, sample: str) -> float:
        """One sample of its /metrics, named with its labels; 0 where there is none."""
        for line in (await self.get("/metrics"))[1].splitlines():
            if line.startswith(f"{sample} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> int:
        """Sends it and waits for the end; the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=30)

    async def end(self) -> int:
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, 30)

    def close(self) -> None:
        """Whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


async def read(kafka: str, topic: str) -> list[bytes]:
    """The values of the whole topic as it is now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    async with consumer:
        partitions = [TopicPartition(topic, number) for number in range(topics.load()[topic].partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        values: list[bytes] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for fetched in (await consumer.getmany(timeout_ms=500)).values():
                values += [record.value for record in fetched]
        return values


async def send(kafka: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], **where: Any) -> None:
    """Keys and values; returns when Kafka has acknowledged all."""
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all", max_request_size=2_000_000) as producer:
        sent = [await producer.send(topic, key=key, value=value, **where) for key, value in records]
        await asyncio.gather(*sent)


async def tell(kafka: str, updates: Iterable[ScopeUpdate]) -> None:
    """As the aggregate would."""
    await send(kafka, topics.METRICS, [(update.scope.encode(), metrics.encode(update)) for update in updates])


def point(value: float, minute: int = 0, metric: Metric = Metric.EVENTS_PER_MINUTE, **fields: Any) -> MetricPoint:
    """A point whose window ends a whole number of minutes after 2026-01-15 10:00 UTC, or is the hour or day of that."""
    start_ms = 1_768_471_200_000 + minute * 60_000
    window_s = metrics.WINDOW_S[metric]
    if window_s >= metrics.HOUR_S:
        start_ms -= start_ms % (window_s * 1000)
    given = {"start_ms": start_ms, "n": int(value), "as_of_ms": start_ms + 60_000, "window_s": window_s} | fields
    return MetricPoint(metric=metric, value=value, **given)
