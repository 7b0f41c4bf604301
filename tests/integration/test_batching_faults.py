"""Bad input and faults around the counting app: it says what is wrong and loses nothing, and it never looks alive while
it does nothing. Killed processes and brokers are in test_batching.py."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from aiokafka import codec as codecs
from counting import GOOD, PARTITIONS, Counting
from running import eventually
from slow_link import LinkedKafka, SlowLink

from stack import ports
from stack.kafka import Kafka

HUGE = b"x" * 5_000_000
BURIED_BYTES_MAX = 900_000  # as the app cuts it
BAD: list[tuple[bytes | None, bytes | None]] = [
    (b"s0001", b"not JSON"),
    (b"s0001", b"\xff\xfe\x00"),
    (b"s0001", b""),
    (b"s0001", GOOD[:-1]),
    (b"s0001", b'{"n":"one"}'),
    (b"s0001", b'[{"n":1}]'),
    (b"s0001", b'{"n":1,"deep":' + b"[" * 100_000),
    (b"s0001", None),
    (b"s0001", HUGE),
    (None, GOOD),
    (None, None),
]


@pytest.fixture
async def counting(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Counting]:
    async with Counting(kafka.address, tmp_path) as app:
        yield app


async def ends(counting: Counting, process: subprocess.Popen[bytes], *reasons: str, code: int = 70) -> None:
    """By itself, not well, and says why."""
    ended_with = await asyncio.to_thread(process.wait, 60)
    said = counting.log(counting.processes.index(process)).read_text()
    assert ended_with == code, said[-3000:]
    for reason in reasons:
        assert reason in said


async def says(counting: Counting, number: int, what: str) -> None:
    """The log of the number-th process."""

    async def said() -> bool:
        return what in counting.log(number).read_text()

    await eventually(said, 60, f"it says {what!r}; see {counting.log(number)}")


# -- bad input


@pytest.mark.parametrize("unpacker", ["lean", "portable"])
async def test_bad_records_of_every_kind_are_buried_and_the_rest_counted(counting: Counting, unpacker: str) -> None:
    """A fetch of 10 kB must not starve on the one of 5 MB."""
    await counting.create_topics(max_message_bytes="8000000")
    for turn, (key, value) in enumerate(BAD):
        await counting.send(200)
        await counting.send_bad(key, value, turn % PARTITIONS)
    await counting.send(2_000)
    process = counting.start(poison="bisect", unpacker=unpacker, fetch_bytes="10000")
    await counting.drained()
    assert await counting.counted() == counting.sent
    cut = [(key, (value or b"")[:BURIED_BYTES_MAX]) for key, value in BAD]
    assert Counter(await counting.buried()) == Counter(cut)
    assert process.poll() is None


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"s0001", b"not JSON", "msgspec.DecodeError: JSON is malformed"),
        (b"s0001", None, "ValueError: no value"),
        (None, GOOD, "it may not have the key None"),
    ],
)
async def test_a_bad_record_that_nobody_buries_ends_the_process(
    counting: Counting, key: bytes | None, value: bytes | None, reason: str
) -> None:
    """Whatever the agent raises does: what it had not acknowledged is not committed."""
    await counting.create_topics()
    await counting.send(100)
    process = counting.start()
    await counting.drained()
    before = await counting.committed()
    await counting.send_bad(key, value, partition=2)
    await ends(counting, process, reason)
    assert await counting.committed() == before
    assert await counting.counted() == counting.sent


async def test_a_changelog_that_somebody_else_wrote_to_ends_the_process(counting: Counting) -> None:
    await counting.create_topics()
    await counting.create_changelog()
    await counting.send_bad(b"s0001", b"not a count", 1, topic=counting.changelog)
    await ends(counting, counting.start(), "restoring failed", "cannot be decoded", counting.changelog)


@pytest.mark.skipif(codecs.has_zstd(), reason="this Python reads every codec")
async def test_a_codec_that_cannot_be_read_ends_the_process(counting: Counting) -> None:
    await counting.create_topics(compression_type="zstd")
    await counting.send(100)
    process = counting.start()
    await ends(counting, process, "Libraries for zstd compression codec not found", "cramjam")
    assert await counting.committed() == 0


# -- the app's own code


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("agent", "count has ended"),
        ("publish", "a flush failed, in before_commit"),
        ("restored", "restoring failed"),
    ],
)
async def test_what_fails_ends_the_process(counting: Counting, where: str, reason: str) -> None:
    """An agent that returns, a hook that raises."""
    await counting.create_topics()
    await counting.send(100)
    await ends(counting, counting.start(fails=where), reason)
    assert await counting.committed() == 0


async def test_what_fails_at_a_rebalance_ends_the_process(counting: Counting) -> None:
    await counting.create_topics()
    first = counting.start(fails="lost")
    await counting.holds(first, 4)
    heir = counting.start()
    await ends(counting, first, "restoring failed", "RuntimeError: told to fail in lost")
    await counting.holds(heir, 4)


async def test_an_agent_that_hangs_ends_the_process(counting: Counting) -> None:
    await counting.create_topics()
    await counting.send_bad(b"s0001", b'{"n":1,"hang":true}', partition=1)
    process = counting.start(flush="2")
    await ends(counting, process, "no flush within 2.0 s, waiting for the end of a batch")
    assert await counting.committed() == 0


# -- topics and partitions


async def test_a_topic_that_does_not_exist_is_waited_for(counting: Counting) -> None:
    """Not ready meanwhile, and at work soon after it is made."""
    counting.start()
    await says(counting, 0, f"there is nothing to read: no topic {counting.topic}")
    assert "Worker]: Ready" not in counting.log(0).read_text()
    await counting.create_topics()
    await counting.send(1_000)
    await counting.drained(30)
    assert await counting.counted() == counting.sent
    await says(counting, 0, "Worker]: Ready")


async def test_a_topic_deleted_and_made_anew_ends_the_process(counting: Counting) -> None:
    """What was counted belongs to records that are gone: that is not for a worker to decide."""
    await counting.create_topics()
    await counting.send(1_000)
    process = counting.start()
    await counting.drained()
    await counting.delete_topic()
    await says(counting, 0, f"there is nothing to read: no topic {counting.topic}")
    await counting.create_topics()
    await ends(counting, process, "it was made anew", "delete the app's changelogs")


async def test_more_workers_than_partitions(counting: Counting) -> None:
    """One has nothing to do, says so, and takes over where another leaves."""
    await counting.create_topics()
    processes = [counting.start() for _ in range(PARTITIONS + 1)]

    async def without() -> subprocess.Popen[bytes] | None:
        """The idle one, when it has said so, and the others have one each."""
        held = [await counting.held(process.pid) for process in processes]
        if sorted(held) != [0, *[1] * PARTITIONS]:
            return None
        said = counting.log(held.index(0)).read_text()
        idle = "no partition is ours: other workers have them all" in said and "Worker]: Ready" in said
        return processes[held.index(0)] if idle else None

    idle = await eventually(without, 60, "each partition is somebody's, and who has none says so")
    assert idle is not None
    async with counting.load():
        next(process for process in processes if process is not idle).send_signal(signal.SIGTERM)
        await counting.holds(idle, 1)
    await counting.drained()
    assert await counting.counted() == counting.sent


# -- the broker


async def test_a_broker_that_answers_slowly(servers_dir: Path, cache_dir: Path, tmp_path: Path) -> None:
    """50 ms each way and 200 kB/s: it falls behind, goes on, and catches up. Then nothing comes in time: it ends, with
    the reason, and another goes on."""
    kafka = LinkedKafka(servers_dir / "kafka-linked", cache=cache_dir)
    await asyncio.to_thread(kafka.start)
    try:
        async with (
            SlowLink(kafka.link_port, kafka.behind_port) as link,
            Counting(kafka.linked, tmp_path, direct=kafka.address) as app,
        ):
            await app.create_topics()
            process = app.start(flush="3")
            await app.holds(process, 4)
            link.delay_s, link.bytes_per_s = 0.05, 200_000
            async with app.load():
                before = await app.committed()

                async def twice() -> bool:
                    return await app.committed() > before + 3_000

                await eventually(twice, 60, f"it commits, slowly; see {app.log(0)}")
            link.delay_s, link.bytes_per_s = 0.0, float("inf")
            await app.drained()
            assert await app.counted() == app.sent
            assert process.poll() is None

            link.delay_s = 2.0
            await app.send(1_000)
            await ends(app, process, "no flush within 3.0 s")
            link.delay_s = 0.0
            app.start()
            await app.drained()
            assert await app.counted() == app.sent
    finally:
        kafka.kill()


async def test_a_broker_that_is_away_at_start_ends_the_process(tmp_path: Path) -> None:
    port = ports.free()
    async with Counting(f"{ports.HOST}:{port}", tmp_path) as app:
        await ends(app, app.start(), "Unable to bootstrap from", str(port), code=1)


@pytest.mark.parametrize(("full", "reason"), [("changelog", "in the transaction"), ("out", "in before_commit")])
async def test_an_output_that_is_refused_ends_the_process(counting: Counting, full: str, reason: str) -> None:
    """Its source is held, however often it starts anew, until the topic takes records again."""
    await counting.create_topics()
    await counting.send(1_000)
    process = counting.start()
    await counting.drained()
    before = await counting.committed()
    topic = counting.changelog if full == "changelog" else f"{counting.topic}-out"
    await counting.configure(topic, "max.message.bytes", "100")
    await counting.send(1_000)
    await ends(counting, process, reason, "MessageSizeTooLargeError", topic if full == "changelog" else "")
    await ends(counting, counting.start(), reason)
    assert await counting.committed() == before
    await counting.configure(topic, "max.message.bytes", "1000000")
    counting.start()
    await counting.drained()
    assert await counting.counted() == counting.sent


@pytest.mark.skipif(sys.platform != "linux", reason="a running process is told how large its files may get")
async def test_a_full_disk(own_kafka: Kafka, tmp_path: Path) -> None:
    """The broker can write no more, refuses every record, and ends. With room again it is started."""
    async with Counting(own_kafka.address, tmp_path) as app:
        await app.create_topics()
        process = app.start()
        await app.holds(process, 4)
        async with app.load():
            await eventually(app.committed, 60, f"it commits; see {app.log(0)}")
            broker = psutil.Process(own_kafka.pid)
            broker.rlimit(psutil.RLIMIT_FSIZE, (1, psutil.RLIM_INFINITY))
            await asyncio.to_thread(broker.wait, 60)
            await asyncio.to_thread(own_kafka.start)
        await app.carried_through(process)
        assert await app.counted() == app.sent
