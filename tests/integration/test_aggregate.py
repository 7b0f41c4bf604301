"""The worker `aggregate` as a process, on a Kafka of its own: exact under kill -9, and nothing bad stops it."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from classroom import NOON_MS, event
from running import PROJECT, eventually
from stack.kafka import Kafka

from wire import dead_letters, events, metrics, topics
from wire.dead_letters import Reason
from wire.events import ActivityEvent, Kind

PARTITIONS = topics.load()[topics.ACTIVITY].partitions


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Kafka]:
    """Not the shared one: the group `aggregate` and its changelogs are this module's alone."""
    broker = Kafka(tmp_path_factory.mktemp("kafka"))
    broker.start()
    subprocess.run(
        [sys.executable, "-m", "cli.main", "topics", "apply", "--kafka", broker.address],
        cwd=PROJECT, check=True, timeout=60, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    yield broker
    broker.stop()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Worker:
    """The process, with its log and its own HTTP port."""

    def __init__(self, kafka: str, redis_url: str, log: Path) -> None:
        self.port = free_port()
        self.log = log
        self._environment = {
            **os.environ,
            "CLASSPULSE_KAFKA": kafka,
            "CLASSPULSE_REDIS_URL": redis_url,
            "CLASSPULSE_WORKER_PORT": str(self.port),
        }

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.aggregate.app"], cwd=PROJECT, env=self._environment,
                stdout=log, stderr=log,
            )  # fmt: skip

    async def get(self, path: str) -> tuple[int, str]:
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

    def signal(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        return self._process.wait(timeout=30)


@pytest.fixture
async def worker(own_kafka: Kafka, redis_url: str, tmp_path: Path) -> AsyncIterator[Worker]:
    running = Worker(own_kafka.address, redis_url, tmp_path / "aggregate.log")
    running.start()
    await eventually(running.ready, 60, f"the worker is ready; see {running.log}")
    yield running
    running.signal(signal.SIGTERM)


async def produce(kafka: str, happened: list[ActivityEvent]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        sent = [
            await producer.send(topics.ACTIVITY, key=one.student_id.encode(), value=events.encode(one))
            for one in happened
        ]
        await asyncio.gather(*sent)


async def read(kafka: str, topic: str) -> list[bytes]:
    """The values of the whole topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    async with consumer:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        values: list[bytes] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for fetched in (await consumer.getmany(timeout_ms=500)).values():
                values += [record.value for record in fetched]
        return values


async def told(kafka: str, course: str) -> dict[tuple[str, str, int], float]:
    """The newest value of every window of the course and its students that ends on a whole minute."""
    newest = {}
    for value in await read(kafka, topics.METRICS):
        update = metrics.decode(value)
        for point in update.points:
            if point.end_ms % metrics.HISTORY_STEP_MS == 0:
                newest[update.scope, point.field, point.start_ms] = point.value
    return {key: value for key, value in newest.items() if course in key[0]}


async def test_every_window_is_exact_after_three_kills_in_the_middle_of_the_load(
    own_kafka: Kafka, worker: Worker
) -> None:
    rng = random.Random(7)
    course = "killed"
    happened = [
        event(
            f"{course}-s{rng.randrange(40)}", index / 10, rng.choice([Kind.CODE_RUN, Kind.PAGE_VIEWED]),
            event_id=f"{course}-{index}", course_id=course, success=rng.choice([None, True, False]),
        )
        for index in range(6000)
    ]  # fmt: skip
    for part in range(3):
        await produce(own_kafka.address, happened[part * 2000 : part * 2000 + 2000])
        # Somewhere within the work on what was just sent, never at the same place.
        await asyncio.sleep(rng.random())
        worker.signal(signal.SIGKILL)
        worker.start()
        await eventually(worker.ready, 60, f"the worker is ready again; see {worker.log}")

    by_minute: Counter[int] = Counter(one.occurred_at_ms // 60_000 * 60_000 for one in happened)
    by_kind: Counter[str] = Counter(one.kind.value for one in happened)

    async def exact() -> bool:
        newest = await told(own_kafka.address, course)
        minutes = {
            start: value for (scope, field, start), value in newest.items()
            if scope == f"course:{course}" and field == "events_per_minute" and value
        }  # fmt: skip
        kinds = {
            field.partition(":")[2]: value for (scope, field, _), value in newest.items()
            if scope == f"course:{course}" and field.startswith("events_by_kind")
        }  # fmt: skip
        return minutes == by_minute and kinds == by_kind

    await eventually(exact, 60, "every window equals the truth")
    newest = await told(own_kafka.address, course)
    students = sum(
        value for (scope, field, _), value in newest.items() if scope.startswith("student:") and "by_kind" in field
    )
    assert students == len(happened)


async def test_bad_records_go_to_dead_letters_with_their_bytes_and_the_good_ones_between_them_count(
    own_kafka: Kafka, worker: Worker
) -> None:
    good = [event("poisoned", second, course_id="poisoned", event_id=f"good-{second}") for second in range(3)]
    bad: list[tuple[bytes | None, bytes | None, Reason]] = [
        (b"poisoned", b"\xff\x00 not json", Reason.NOT_JSON),
        (b"poisoned", b'{"event_id": 7}', Reason.INVALID),
        (b"poisoned", b"[" * 10_000, Reason.INVALID),
        (None, b"no key", Reason.NO_KEY),
        (b"poisoned", None, Reason.NO_VALUE),
        (b"somebody else", events.encode(good[0]), Reason.KEY_MISMATCH),
        (b"poisoned", b'"' + b"x" * 900_000 + b'"', Reason.INVALID),
    ]
    async with AIOKafkaProducer(bootstrap_servers=own_kafka.address, max_request_size=2_000_000) as producer:
        for index, (key, value, _) in enumerate(bad):
            await producer.send_and_wait(topics.ACTIVITY, key=key, value=value, partition=3)
            if index < len(good):
                await producer.send_and_wait(
                    topics.ACTIVITY, key=b"poisoned", value=events.encode(good[index]), partition=3
                )

    async def buried() -> bool:
        letters = [dead_letters.decode(value) for value in await read(own_kafka.address, topics.DEAD_LETTERS)]
        return [(letter.key, letter.value, letter.reason) for letter in letters if letter.partition == 3] == bad

    await eventually(buried, 30, "every bad record is in activity.dead-letters, in order, with its bytes")
    newest = await told(own_kafka.address, "poisoned")
    assert newest["course:poisoned", "events_by_kind:code_run", NOON_MS // 86_400_000 * 86_400_000] == len(good)


async def test_it_says_that_it_lives_and_serves_its_metrics(worker: Worker) -> None:
    assert (await worker.get("/livez"))[0] == 200
    _, body = await worker.get("/readyz")
    beat = json.loads(body)
    assert beat["partitions"] == {name: list(range(PARTITIONS)) for name in (topics.ACTIVITY, topics.PARTIALS)}
    assert "classpulse_events_total" in (await worker.get("/metrics"))[1]


async def test_a_stopped_process_does_not_answer_and_goes_on_when_continued(worker: Worker) -> None:
    os.kill(worker._process.pid, signal.SIGSTOP)
    assert (await worker.get("/readyz"))[0] == 0
    os.kill(worker._process.pid, signal.SIGCONT)
    await eventually(worker.ready, 60, "ready again")


async def test_terminated_it_commits_and_leaves_within_its_grace(
    own_kafka: Kafka, redis_url: str, tmp_path: Path
) -> None:
    running = Worker(own_kafka.address, redis_url, tmp_path / "aggregate.log")
    running.start()
    await eventually(running.ready, 60, "ready")
    assert running.signal(signal.SIGTERM) == 0
    assert "batch failed" not in running.log.read_text()
