"""The worker `aggregate` as a process, on a Kafka of its own: nothing bad stops it. That it counts right, whatever is
killed, is shown in test_golden_windows.py."""

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from classroom import NOON_MS, event
from running import eventually
from worker_process import PARTITIONS, WorkerProcess, apply_topics, read, send

from gateway.admin import handling
from gateway.admin.letters import Filter, Letter, Letters
from stack.kafka import Kafka
from wire import dead_letters, events, metrics, topics
from wire.dead_letters import Action, Reason
from wire.events import ActivityEvent


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


async def test_a_replayed_letter_counts_once_however_often_it_is_replayed(
    own_kafka: Kafka, worker: WorkerProcess
) -> None:
    """Its record was written by a machine whose clock was behind, so that its event lay in the future. By now it does
    not."""
    kafka = own_kafka.address
    ahead = event("ahead", 60, course_id="revived", event_id="ahead")
    record = (b"ahead", events.encode(ahead))
    await send(kafka, topics.ACTIVITY, [record], timestamp_ms=NOON_MS - 3_600_000)
    letters = Letters(kafka, timeout_s=30)

    async def buried() -> list[Letter]:
        return (await letters.find(Filter(reason=Reason.FUTURE), 10, newest=True)).letters

    (letter,) = await eventually(buried, 30, "it is in activity.dead-letters")
    for force in (False, True, True):
        chosen, _ = await handling.choose(letters, [letter.id], 1)
        verdicts = await handling.judge(
            letters, chosen, Action.REPLAYED, force=force, now_ms=int(time.time() * 1000), skew_ms=300_000
        )
        done = await handling.carry_out(letters, Action.REPLAYED, verdicts, by="a test", why="the clock is right now")
        assert [verdict.objection for verdict in done] == [""]

    async def found_out() -> bool:
        return await worker.metric('classpulse_events_total{verdict="duplicate"}') == 2

    await eventually(found_out, 30, "the second and the third are duplicates")
    await produce(kafka, [event("ahead", 61, course_id="revived")])
    day_ms = NOON_MS // 86_400_000 * 86_400_000

    async def counted() -> float | None:
        return (await told(kafka, "revived")).get(("course:revived", "events_per_day", day_ms))

    async def both() -> bool:
        return (await counted() or 0) >= 2

    await eventually(both, 30, "it counts, and the one after it")
    assert await counted() == 2


async def test_it_says_that_it_lives_and_serves_its_metrics(worker: WorkerProcess, transport: str) -> None:
    assert (await worker.get("/livez"))[0] == 200
    _, body = await worker.get("/readyz")
    beat = json.loads(body)
    held = [topics.ACTIVITY, topics.PARTIALS, *([topics.AUDIT] if transport == "batch" else [])]
    assert beat["partitions"] == {name: list(range(PARTITIONS)) for name in held}
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
