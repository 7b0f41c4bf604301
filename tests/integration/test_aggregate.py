"""The worker `aggregate` as a process, on a Kafka of its own: exact under kill -9, and nothing bad stops it."""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from classroom import NOON_MS, event
from running import eventually
from worker_process import PARTITIONS, WorkerProcess, apply_topics, read, send

from stack.kafka import Kafka
from wire import dead_letters, events, metrics, topics
from wire.dead_letters import Reason
from wire.events import ActivityEvent, Kind


@pytest.fixture(scope="module", params=["batch", "stock"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path, transport: str) -> Iterator[Kafka]:  # noqa: ARG001 -- one for each
    """Not the shared one: the group `aggregate` and its changelogs are this module's alone."""
    broker = Kafka(tmp_path_factory.mktemp("kafka"), cache=cache_dir, quick=True)
    broker.start()
    try:
        apply_topics(broker)
        yield broker
    finally:
        broker.stop()


@pytest.fixture
async def worker(own_kafka: Kafka, redis_url: str, tmp_path: Path, transport: str) -> AsyncIterator[WorkerProcess]:
    running = aggregate(own_kafka, tmp_path / "aggregate.log", redis_url=redis_url, transport=transport)
    running.start()
    try:
        await running.until_ready()
        yield running
        running.signal(signal.SIGTERM)
    finally:
        running.close()


def aggregate(kafka: Kafka, log: Path, **settings: object) -> WorkerProcess:
    return WorkerProcess("aggregate", kafka.address, log, **settings)


async def produce(kafka: str, happened: list[ActivityEvent]) -> None:
    await send(kafka, topics.ACTIVITY, [(one.student_id.encode(), events.encode(one)) for one in happened])


async def told(kafka: str, course: str) -> dict[tuple[str, str, int], float]:
    """The newest value of every window of the course and its students that ends on a whole minute."""
    newest = {}
    for value in await read(kafka, topics.METRICS):
        update = metrics.decode(value)
        for point in update.points:
            if point.end_ms % metrics.HISTORY_STEP_MS == 0:
                newest[update.scope, point.field, point.start_ms] = point.value
    return {key: value for key, value in newest.items() if course in key[0]}


def some(course: str, seed: int, number: int = 6000) -> list[ActivityEvent]:
    """Ten minutes of forty students."""
    rng = random.Random(seed)
    return [
        event(
            f"{course}-s{rng.randrange(40)}", index * 600 / number, rng.choice([Kind.CODE_RUN, Kind.PAGE_VIEWED]),
            event_id=f"{course}-{index}", course_id=course, success=rng.choice([None, True, False]),
        )
        for index in range(number)
    ]  # fmt: skip


async def until_exact(kafka: str, course: str, happened: list[ActivityEvent]) -> None:
    by_minute: Counter[int] = Counter(one.occurred_at_ms // 60_000 * 60_000 for one in happened)
    by_kind: Counter[str] = Counter(one.kind.value for one in happened)
    by_student: Counter[str] = Counter(f"student:{one.student_id}" for one in happened)

    async def differences() -> list[tuple[object, float, float]]:
        minutes: Counter[object] = Counter()
        kinds: Counter[object] = Counter()
        students: Counter[object] = Counter()
        for (scope, field, start), value in (await told(kafka, course)).items():
            if scope == f"course:{course}" and field == "events_per_minute" and value:
                minutes[start] = int(value)
            elif scope == f"course:{course}" and field.startswith("events_by_kind"):
                kinds[field.partition(":")[2]] = int(value)
            elif scope.startswith("student:") and field.startswith("events_by_kind"):
                students[scope] += int(value)
        return [
            (key, found[key], truth[key])
            for found, truth in ((minutes, by_minute), (kinds, by_kind), (students, by_student))
            for key in {*found, *truth}
            if found[key] != truth[key]
        ]

    last: list[object] = []

    async def exact() -> bool:
        last[:] = await differences()
        return not last

    try:
        await eventually(exact, 60, "every window equals the truth")
    except AssertionError as error:
        raise AssertionError(f"{error}; (what, found, truth): {last[:20]}") from None


async def test_every_window_is_exact_after_three_kills_in_the_middle_of_the_load(
    own_kafka: Kafka, worker: WorkerProcess
) -> None:
    happened = some("killed", seed=7)
    for part in range(3):
        await produce(own_kafka.address, happened[part * 2000 : part * 2000 + 2000])
        # Somewhere within the work on what was just sent, never at the same place.
        await asyncio.sleep(random.random())
        worker.signal(signal.SIGKILL)
        worker.start()
        await worker.until_ready()
    await until_exact(own_kafka.address, "killed", happened)
    assert await worker.metric("classpulse_offsets_skipped_total") == 0


async def test_every_window_is_exact_while_workers_join_and_leave(
    own_kafka: Kafka, worker: WorkerProcess, redis_url: str, tmp_path: Path, transport: str
) -> None:
    happened = some("shared", seed=8)
    second = aggregate(own_kafka, tmp_path / "second.log", redis_url=redis_url, transport=transport)

    async def holds_some() -> bool:
        status, body = await second.get("/readyz")
        return status == 200 and bool(json.loads(body)["partitions"])

    try:
        for part, leaves_by in enumerate((signal.SIGTERM, signal.SIGKILL)):
            await produce(own_kafka.address, happened[part * 3000 : part * 3000 + 1000])
            second.start()  # the partitions are dealt anew, in the middle of the work
            await produce(own_kafka.address, happened[part * 3000 + 1000 : part * 3000 + 2000])
            await eventually(holds_some, 60, f"the second worker holds partitions; see {second.log}")
            await produce(own_kafka.address, happened[part * 3000 + 2000 : part * 3000 + 3000])
            second.signal(leaves_by)
        await worker.until_ready()
        await until_exact(own_kafka.address, "shared", happened)
        assert await worker.metric("classpulse_offsets_skipped_total") == 0
    finally:
        second.close()


async def test_every_window_is_exact_over_the_death_of_the_broker(own_kafka: Kafka, worker: WorkerProcess) -> None:
    happened = some("bereft", seed=9, number=3000)
    await produce(own_kafka.address, happened[:2000])
    await asyncio.to_thread(own_kafka.kill)  # with the worker in the middle of it

    async def noticed() -> bool:
        return not await worker.ready()

    await eventually(noticed, 30, "the worker says that it has no Kafka")
    await asyncio.to_thread(own_kafka.start)
    await produce(own_kafka.address, happened[2000:])
    await until_exact(own_kafka.address, "bereft", happened)
    await worker.until_ready()


@pytest.mark.usefixtures("worker")
async def test_bad_records_go_to_dead_letters_with_their_bytes_and_the_good_ones_between_them_count(
    own_kafka: Kafka,
) -> None:
    good = [event("poisoned", second, course_id="poisoned", event_id=f"good-{second}") for second in range(3)]
    bad: list[tuple[bytes | None, bytes | None, Reason]] = [
        (b"poisoned", b"\xff\x00 not json", Reason.NOT_JSON),
        (b"poisoned", b'{"event_id": 7}', Reason.INVALID),
        (b"poisoned", b"[" * 10_000, Reason.INVALID),
        (None, b"no key", Reason.NO_KEY),
        (b"poisoned", None, Reason.NO_VALUE),
        (b"somebody else", events.encode(good[0]), Reason.KEY_MISMATCH),
        (b"poisoned", b'"' + b"x" * 900_000 + b'"', Reason.INVALID),  # in base64 more than Kafka takes by default
        (b"poisoned", b'{"event_id":' + b"[" * 100_000, Reason.INVALID),
    ]
    mixed: list[tuple[bytes | None, bytes | None]] = []
    for index, (key, value, _) in enumerate(bad):
        mixed.append((key, value))
        if index < len(good):
            mixed.append((b"poisoned", events.encode(good[index])))
    await send(own_kafka.address, topics.ACTIVITY, mixed, partition=3)

    async def buried() -> bool:
        letters = [dead_letters.decode(value) for value in await read(own_kafka.address, topics.DEAD_LETTERS)]
        ours = sorted((letter for letter in letters if letter.partition == 3), key=lambda letter: letter.offset)
        return [(letter.key, letter.value, letter.reason) for letter in ours] == bad

    await eventually(buried, 30, "every bad record is in activity.dead-letters, with its bytes")

    async def counted() -> bool:
        newest = await told(own_kafka.address, "poisoned")
        day_ms = NOON_MS // 86_400_000 * 86_400_000
        return newest.get(("course:poisoned", "events_by_kind:code_run", day_ms)) == len(good)

    await eventually(counted, 30, "the good ones between them count")


async def test_it_says_that_it_lives_and_serves_its_metrics(worker: WorkerProcess) -> None:
    assert (await worker.get("/livez"))[0] == 200
    _, body = await worker.get("/readyz")
    beat = json.loads(body)
    assert beat["partitions"] == {name: list(range(PARTITIONS)) for name in (topics.ACTIVITY, topics.PARTIALS)}
    assert "classpulse_events_total" in (await worker.get("/metrics"))[1]


async def test_a_stopped_process_does_not_answer_and_goes_on_when_continued(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGSTOP)
    assert (await worker.get("/readyz"))[0] == 0
    os.kill(worker.pid, signal.SIGCONT)
    await worker.until_ready()


async def test_terminated_it_commits_and_leaves_within_its_grace(
    own_kafka: Kafka, redis_url: str, tmp_path: Path, transport: str
) -> None:
    running = aggregate(own_kafka, tmp_path / "aggregate.log", redis_url=redis_url, transport=transport)
    running.start()
    try:
        await running.until_ready()
        assert running.signal(signal.SIGTERM) == 0
    finally:
        running.close()
    assert "batch failed" not in running.said()
