"""The counting app on a real broker: every count is exact, whatever is done to its processes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaProducer
from counting import Counting, committed_records
from running import eventually

from stack.kafka import Kafka


@pytest.fixture
async def counting(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Counting]:
    app = Counting(kafka.address, tmp_path)
    await app.create_topics()
    yield app
    app.close()
    await app.stop_sending()


async def test_counts_are_right_and_an_orderly_stop_commits_everything(counting: Counting) -> None:
    await counting.send(5_000)
    process = counting.start()
    async with counting.load():
        await eventually(counting.committed, 60, f"it commits; see {counting.log(0)}")
    await counting.drained()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 20) == 0, counting.log(0).read_text()[-3000:]
    assert await counting.counted() == counting.sent


@pytest.mark.parametrize("point", ["published", "sent", "offsets", "committed"])
async def test_killed_in_a_flush(counting: Counting, point: str) -> None:
    """Five times in mid-load, each time a little later, then left to finish."""
    await counting.send(3_000)
    async with counting.load():
        for times in (1, 3, 5, 8, 13):
            process = counting.start(die=f"{point}:{times}")
            assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
        counting.start()
    await counting.drained()
    assert await counting.counted() == counting.sent


async def test_killed_at_any_moment(counting: Counting) -> None:
    """Where no point was aimed at, at the pace of the load: nine times."""
    async with counting.load(8_000):
        for turn in range(9):
            process = counting.start(unpacker="portable" if turn % 3 == 2 else "lean")
            before = await counting.committed()

            async def further(since: int = before) -> bool:
                return await counting.committed() > since

            await eventually(further, 60, f"it gets on; see {counting.log(turn)}")
            process.kill()
            process.wait()
        counting.start()
    await counting.drained()
    assert await counting.counted() == counting.sent


@pytest.mark.parametrize("unpacker", ["lean", "portable"])
async def test_a_second_worker_joins_leaves_and_is_killed(counting: Counting, unpacker: str) -> None:
    first = counting.start(unpacker=unpacker)
    await eventually_holds(counting, first.pid, 4)
    async with counting.load():
        second = counting.start(unpacker=unpacker)
        await eventually_holds(counting, second.pid, 2)
        second.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(second.wait, 30) == 0, counting.log(1).read_text()[-3000:]
        await eventually_holds(counting, first.pid, 4)
        third = counting.start(unpacker=unpacker)
        await eventually_holds(counting, third.pid, 2)
        third.kill()
        third.wait()
        await eventually_holds(counting, first.pid, 4)
    await counting.drained()
    assert await counting.counted() == counting.sent
    assert first.poll() is None


async def test_what_did_not_move_is_not_read_again(counting: Counting) -> None:
    """A rebalance that leaves a worker its partitions, and nobody else in between, leaves it their tables too."""
    await counting.send(2_000)
    first = counting.start()
    await counting.drained()
    second = counting.start()
    await eventually_holds(counting, second.pid, 2)
    await eventually_holds(counting, first.pid, 2)
    restored = [line for line in counting.arrivals.read_text().splitlines() if line.startswith(f"{first.pid} restored")]
    assert len(restored) == 4


@pytest.mark.parametrize("point", ["published", "sent", "offsets", "committed"])
async def test_a_zombie_is_fenced(counting: Counting, point: str) -> None:
    """Falls asleep within a flush, past its session; another takes over; it wakes up and goes on where it was, and
    nothing of it counts. Then it is a member like others."""
    zombie = counting.start(sleep=f"{point}:9")
    async with counting.load():
        await eventually(lambda: asleep(zombie.pid), 60, f"it sleeps; see {counting.log(0)}")
        heir = counting.start()
        await eventually_holds(counting, heir.pid, 4)
        before = await counting.committed()

        async def at_work() -> bool:
            return await counting.committed() > before + 2_000

        await eventually(at_work, 60, f"the heir commits; see {counting.log(1)}")
        zombie.send_signal(signal.SIGCONT)

        await eventually_holds(counting, zombie.pid, 2)
    await counting.drained()
    assert await counting.counted() == counting.sent
    assert (zombie.poll(), heir.poll()) == (None, None)
    if point != "committed":  # there it may have had nothing more to commit
        assert "another process has taken it over" in counting.log(0).read_text()


async def asleep(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


async def test_two_apps_of_one_id_end_with_the_reason(counting: Counting, kafka: Kafka) -> None:
    """Somebody else's producer takes a partition over, though the group says that it is ours."""
    process = counting.start()
    await eventually_holds(counting, process.pid, 4)
    intruder = AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id=f"{counting.name}-1")
    async with intruder, counting.load():
        assert await asyncio.to_thread(process.wait, 60) == 70
    assert f"is another app running with the id {counting.name}?" in counting.log(0).read_text()


async def test_a_bad_record_ends_the_process_and_is_not_committed(counting: Counting) -> None:
    await counting.send(100)
    process = counting.start()
    await counting.drained()
    before = await counting.committed()
    await counting.send(1, value=b"poison")
    assert await asyncio.to_thread(process.wait, 60) == 70
    assert "ValueError: poison" in counting.log(0).read_text()
    assert await counting.committed() == before


async def test_an_agent_that_hangs_ends_the_process(counting: Counting) -> None:
    await counting.send(1, value=b"hang")
    process = counting.start(flush="2")
    assert await asyncio.to_thread(process.wait, 60) == 70
    assert "no flush within 2.0 s, waiting for the end of a batch" in counting.log(0).read_text()
    assert await counting.committed() == 0


async def test_bad_records_are_buried_and_the_rest_counted(counting: Counting, kafka: Kafka) -> None:
    async def send_both() -> None:
        good = counting.sent.copy()
        await counting.send(7, value=b"poison")
        counting.sent = good  # the truth is without them
        await counting.send(3_000)

    await counting.send(3_000)
    for _ in range(3):
        await send_both()
    counting.start(poison="bisect")
    await counting.drained()
    assert await counting.counted() == counting.sent
    buried = await committed_records(kafka.address, f"{counting.topic}-buried")
    assert [value for _, value in buried] == [b"poison"] * 21


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
    app = Counting(own_kafka.address, tmp_path)
    try:
        await app.create_topics()
        process = app.start()
        await eventually_holds(app, process.pid, 4)
        async with app.load():
            for _ in range(2):
                before = await app.committed()

                async def further(since: int = before) -> bool:
                    return await app.committed() > since

                await eventually(further, 60, f"it commits; see {app.log(0)}")
                await asyncio.to_thread(own_kafka.kill)
                await asyncio.to_thread(own_kafka.start)
        await app.drained(within_s=90)
        assert await app.counted() == app.sent
    finally:
        app.close()
        await app.stop_sending()


async def eventually_holds(counting: Counting, pid: int, *numbers: int) -> None:
    """Until the process holds one of these numbers of partitions."""

    async def held() -> bool:
        return await counting.held(pid) in numbers

    await eventually(held, 60, f"{pid} of {counting.name} holds {numbers} partitions")


async def test_told_to_stop_while_it_waits_for_its_group(counting: Counting) -> None:
    """A dead member keeps the group waiting until its session has run out; a stop does not wait for that."""
    dead = counting.start(session="30")
    await eventually_holds(counting, dead.pid, 4)
    dead.kill()
    dead.wait()
    process = counting.start()

    async def waits() -> bool:
        return "(Re-)joining group" in counting.log(1).read_text()

    await eventually(waits, 30, f"it joins; see {counting.log(1)}")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 20) == 0
