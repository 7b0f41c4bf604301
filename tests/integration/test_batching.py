"""The counting app on a real broker: every count is exact, whatever is done to its processes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from counting import Counting
from counting_trouble import POINTS, Trouble
from running import PATIENCE, eventually

from batching.starting import started
from stack.kafka import Kafka

SEED, ROUNDS = 7, 10


@pytest.fixture
async def counting(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Counting]:
    async with Counting(kafka.address, tmp_path) as app:
        await app.create_topics()
        yield app


async def test_counts_are_right_and_an_orderly_stop_commits_everything(counting: Counting) -> None:
    await counting.send(5_000)
    process = counting.start()
    async with counting.load():
        await eventually(counting.committed, 60, f"it commits; see {counting.log(0)}")
    await counting.drained()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 20) == 0, counting.log(0).read_text()[-3000:]
    assert await counting.counted() == counting.sent


async def test_killed_in_a_flush(kafka: Kafka, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as side_by_side:
        for point in POINTS:
            side_by_side.create_task(killed_in_a_flush(Counting(kafka.address, tmp_path), point))


async def killed_in_a_flush(counting: Counting, point: str) -> None:
    """Five times in mid-load, each time a little later, then left to finish."""
    async with counting:
        await counting.create_topics()
        await counting.send(3_000)
        async with counting.load(2_000):
            for times in (1, 3, 5, 8, 13):
                process = counting.start(die=f"{point}:{times}")
                assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
            counting.start()
        await counting.drained()
        assert await counting.counted() == counting.sent, point


async def test_random_trouble(counting: Counting) -> None:
    """A short piece of `make soak`: killed at any moment, in a flush, all at once, asleep, joining and leaving. Its
    broker stays: it is shared."""
    trouble = Trouble(counting, seed=SEED)
    await counting.create_changelog()
    async with counting.truth() as truth:
        for _ in range(ROUNDS):
            what = await trouble.round(truth)
            assert trouble.tally.exact, f"{what}, of {trouble.tally}"
    assert await counting.counted() == counting.sent
    assert trouble.tally.verdict.windows == len(counting.sent)


async def test_a_second_worker_joins_leaves_and_is_killed(kafka: Kafka, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as side_by_side:
        for unpacker in ("lean", "portable"):
            side_by_side.create_task(a_second_worker(Counting(kafka.address, tmp_path), unpacker))


async def a_second_worker(counting: Counting, unpacker: str) -> None:
    async with counting:
        await counting.create_topics()
        first = counting.start(unpacker=unpacker)
        await counting.holds(first, 4)
        async with counting.load():
            second = counting.start(unpacker=unpacker)
            await counting.holds(second, 2)
            second.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(second.wait, 30) == 0, counting.log(1).read_text()[-3000:]
            await counting.holds(first, 4)
            third = counting.start(unpacker=unpacker)
            await counting.holds(third, 2)
            third.kill()
            third.wait()
            await counting.holds(first, 4)
        await counting.drained()
        assert await counting.counted() == counting.sent, unpacker
        assert first.poll() is None


async def test_what_did_not_move_is_not_read_again(counting: Counting) -> None:
    """A rebalance that leaves a worker its partitions, and nobody else in between, leaves it their tables too."""
    await counting.send(2_000)
    first = counting.start()
    await counting.drained()
    second = counting.start()
    await counting.holds(second, 2)
    await counting.holds(first, 2)
    restored = [line for line in counting.arrivals.read_text().splitlines() if line.startswith(f"{first.pid} restored")]
    assert len(restored) == 4


async def test_a_zombie_is_fenced(kafka: Kafka, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as side_by_side:
        for point in POINTS:
            side_by_side.create_task(a_zombie(Counting(kafka.address, tmp_path), point))


async def a_zombie(counting: Counting, point: str) -> None:
    """Falls asleep within a flush, past its session; another takes over; it wakes up and goes on where it was, and
    nothing of it counts. Then it is a member like others."""
    async with counting:
        await counting.create_topics()
        zombie = counting.start(sleep=f"{point}:9")
        async with counting.load(3_000):
            await eventually(lambda: asleep(zombie.pid), 60, f"it sleeps; see {counting.log(0)}")
            heir = counting.start()
            await counting.holds(heir, 4)
            before = await counting.committed()

            async def at_work() -> bool:
                return await counting.committed() > before + 2_000

            await eventually(at_work, 60, f"the heir commits; see {counting.log(1)}")
            zombie.send_signal(signal.SIGCONT)

            await counting.holds(zombie, 2)
        await counting.drained()
        assert await counting.counted() == counting.sent, point
        assert (zombie.poll(), heir.poll()) == (None, None)
        if point != "committed":  # there it may have had nothing more to commit
            assert "another process has taken it over" in counting.log(0).read_text()


async def asleep(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


async def test_two_apps_of_one_id_end_with_the_reason(counting: Counting, kafka: Kafka) -> None:
    """Somebody else's producer takes a partition over, though the group says that it is ours."""
    process = counting.start()
    await counting.holds(process, 4)
    intruder = AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id=f"{counting.name}-1")
    async with intruder, counting.load():
        assert await asyncio.to_thread(process.wait, 60) == 70
    assert f"is another app running with the id {counting.name}?" in counting.log(0).read_text()


async def test_static_members_come_back_to_their_partitions(counting: Counting) -> None:
    await counting.send(1_000)
    first = counting.start(instance="one")
    await counting.drained()
    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 30) == 0
    await counting.send(1_000)
    counting.start(instance="one")
    await counting.drained()
    assert await counting.counted() == counting.sent


async def test_a_broker_that_restarts(own_kafka: Kafka, tmp_path: Path) -> None:
    async with Counting(own_kafka.address, tmp_path) as app:
        await app.create_topics()
        process = app.start()
        await app.holds(process, 4)
        async with app.load():
            for _ in range(2):
                before = await app.committed()

                async def further(since: int = before) -> bool:
                    nonlocal process
                    process = app.heir(process)
                    return await app.committed() > since

                await eventually(further, 60, f"it commits; see {app.log(0)}")
                await asyncio.to_thread(own_kafka.kill)
                await asyncio.to_thread(own_kafka.start)
        await app.carried_through(process)
        assert await app.counted() == app.sent


@pytest.mark.parametrize("kind", [AIOKafkaConsumer, partial(AIOKafkaProducer, transactional_id="begins")])
async def test_a_client_starts_when_its_broker_is_back(kind: Any, own_kafka: Kafka) -> None:
    """As those of a worker do that restores meanwhile. (One left open is a warning, so an error.)"""
    await asyncio.to_thread(own_kafka.kill)
    tried = 0

    def make() -> Any:
        nonlocal tried
        tried += 1
        return kind(bootstrap_servers=own_kafka.address)

    async def again() -> bool:
        return tried >= 3

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(started(make), 0.5)
    tried = 0
    async with asyncio.timeout(60 * PATIENCE), asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(started(make))
        await eventually(again, 10, "it tries again")
        assert not starting.done()
        await asyncio.to_thread(own_kafka.start)
    await starting.result().stop()


async def test_told_to_stop_while_it_waits_for_its_group(counting: Counting) -> None:
    """A dead member keeps the group waiting until its session has run out; a stop does not wait for that."""
    dead = counting.start(session="30")
    await counting.holds(dead, 4)
    dead.kill()
    dead.wait()
    process = counting.start(stop="1")

    async def waits() -> bool:
        return "(Re-)joining group" in counting.log(1).read_text()

    await eventually(waits, 30, f"it joins; see {counting.log(1)}")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 20) == 0
