"""The audit by the real `aggregate`, on a Kafka of its own: it adds up, and says where not."""

import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from classroom import event
from running import eventually
from worker_process import WorkerProcess, apply_topics, read, send

from stack.kafka import Kafka
from wire import audit, events, topics
from wire.audit import Balance, Claimed, Judged, Stage, Wrong

PARTITION = 5
LATENESS_S = 3600


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Kafka]:
    """Not the shared one: the group `aggregate` and its changelogs are this module's alone."""
    broker = Kafka(tmp_path_factory.mktemp("kafka"), cache=cache_dir, quick=True)
    broker.start()
    try:
        apply_topics(broker)
        yield broker
    finally:
        broker.stop()


@pytest.fixture
async def worker(own_kafka: Kafka, redis_url: str, tmp_path: Path) -> AsyncIterator[WorkerProcess]:
    running = WorkerProcess("aggregate", own_kafka.address, tmp_path / "aggregate.log", redis_url=redis_url)
    running.start()
    try:
        await running.until_ready()
        yield running
        running.signal(signal.SIGTERM)
    finally:
        running.close()


async def balances(kafka: str) -> list[Balance]:
    """The newest of each minute."""
    told = [audit.decode_balance(value) for value in await read(kafka, topics.BALANCES)]
    return [balance for balance in {one.key: one for one in told}.values() if balance.partition == PARTITION]


async def until_judged(kafka: str, last: int) -> list[Balance]:
    async def judged() -> list[Balance]:
        found = await balances(kafka)
        return found if max((balance.last for balance in found), default=-1) == last else []

    return await eventually(judged, 60, f"the audit is at offset {last}")


async def claim(kafka: str, door: str, *runs: tuple[int, int]) -> None:
    said = Claimed(door=door, partition=PARTITION, at_ms=0, runs=list(runs))
    await send(kafka, topics.AUDIT, [(None, audit.encode(said))], partition=PARTITION)


async def test_what_was_injected_is_what_it_finds_over_two_kills(own_kafka: Kafka, worker: WorkerProcess) -> None:
    """1,000 events; of each hundred five come twice, two come too late, and one is no event."""
    rng, log, expected = random.Random(3), [], {"duplicate": 0, "late": 0, "dead": 0}
    for number in range(1_000):
        one = event(f"s{rng.randrange(40)}", 7_200 + number, event_id=f"e{number}")
        log.append(one)
        if number % 20 == 7:
            log.append(one)
            expected["duplicate"] += 1
        if number % 50 == 9:
            log.append(event("s1", number - LATENESS_S, event_id=f"late{number}"))
            expected["late"] += 1
    written = [(one.student_id.encode(), events.encode(one)) for one in log]
    for at in range(0, 1_000, 100):
        written.insert(at, (b"s1", b"no event"))
        expected["dead"] += 1

    for part in range(2):
        await send(own_kafka.address, topics.ACTIVITY, written[part * 500 : part * 500 + 500], partition=PARTITION)
        await claim(own_kafka.address, f"door-{part}", (part * 500, part * 500 + 499))
        await until_judged(own_kafka.address, part * 500 + 499)
        worker.signal(signal.SIGKILL)
        worker.start()
        await worker.until_ready()
    await send(own_kafka.address, topics.ACTIVITY, written[1000:], partition=PARTITION)
    found = await until_judged(own_kafka.address, len(written) - 1)

    assert sum((balance.difference for balance in found), 0) == 0
    totals = [balance.totals for balance in found]
    assert sum(one.folded for one in totals) == 1_000
    assert {name: sum(getattr(one, name) for one in totals) for name in expected} == expected

    async def claims_counted() -> bool:
        counted = await balances(own_kafka.address)
        return (sum(one.accepted for one in counted), sum(one.unclaimed for one in counted)) == (
            1_000,
            len(written) - 1_000,
        )

    await eventually(claims_counted, 30, "what doors claim is accepted, and nothing else")

    # Offset by offset: what a trace of one event goes by.
    verdicts: dict[int, str] = {}
    for value in await read(own_kafka.address, topics.AUDIT):
        said = audit.decode(value)
        if isinstance(said, Judged) and said.partition == PARTITION:
            of = dict.fromkeys(range(said.first, said.last + 1), "folded")
            for verdict, runs in (("duplicate", said.duplicate), ("late", said.late), ("dead", said.dead)):
                of |= {offset: verdict for first, last in runs for offset in range(first, last + 1)}
            assert verdicts | of == of | verdicts  # said again after a kill, it is the same
            verdicts |= of
    truth, seen = {}, set()
    for offset, (_, value) in enumerate(written):
        late = value.startswith(b'{"event_id":"late')
        truth[offset] = (
            "dead" if value == b"no event" else "late" if late else "duplicate" if value in seen else "folded"
        )
        seen.add(value)
    assert verdicts == truth


async def test_records_deleted_before_they_were_read_are_named_and_measured(
    own_kafka: Kafka, redis_url: str, tmp_path: Path
) -> None:
    worker = WorkerProcess("aggregate", own_kafka.address, tmp_path / "aggregate.log", redis_url=redis_url)
    happened = [event("s1", 10_000 + number, event_id=f"deleted-{number}") for number in range(100)]
    written = [(one.student_id.encode(), events.encode(one)) for one in happened]
    before = max((balance.last for balance in await balances(own_kafka.address)), default=-1)
    await send(own_kafka.address, topics.ACTIVITY, written, partition=PARTITION)
    admin = AIOKafkaAdminClient(bootstrap_servers=own_kafka.address)
    await admin.start()
    await admin.delete_records({TopicPartition(topics.ACTIVITY, PARTITION): RecordsToDelete(before + 61)})
    await admin.close()
    try:
        worker.start()
        await worker.until_ready()
        found = await until_judged(own_kafka.address, before + 100)
        wrong = [one for balance in found for one in balance.wrong]
        assert wrong == [Wrong(stage=Stage.FOLD, first=before + 1, last=before + 100, number=60)]
        sample = f'classpulse_audit_difference{{partition="{PARTITION}",stage="fold"}}'
        assert await worker.metric(sample) == 60
        assert "it does not add up" in worker.said()
    finally:
        worker.close()
