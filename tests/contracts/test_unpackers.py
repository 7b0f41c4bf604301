"""One suite for both unpackers, on record batches as a real broker stores and sends them."""

import gc
import uuid
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka import codec as codecs
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer import fetcher
from aiokafka.errors import UnsupportedCodecError
from faust.types import TP
from running import eventually

from batching import unpack
from batching.records import Chunk, Record
from batching.unpack import Lean, Portable, Unpacker
from stack.kafka import Kafka


class Got(NamedTuple):
    records: list[Record]
    position: int  # where reading would go on
    chunks: list[Chunk]

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]


@pytest.fixture(params=["lean", "portable"])
def unpacker(request: pytest.FixtureRequest) -> Unpacker:
    chosen = unpack.choose(request.param)
    assert type(chosen) is {"lean": Lean, "portable": Portable}[request.param]
    return chosen


@pytest.fixture
async def tp(kafka: Kafka) -> TP:
    return await new_topic(kafka)


async def new_topic(kafka: Kafka, **configs: str) -> TP:
    """The only partition of a topic of this test's own. `configs`: with _ for a dot."""
    name = f"unpack-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await admin.start()
    topic_configs = {config.replace("_", "."): value for config, value in configs.items()}
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs=topic_configs)])
    await admin.close()
    return TP(name, 0)


async def read(
    kafka: Kafka,
    unpacker: Unpacker,
    tp: TP,
    *,
    start: int = 0,
    limit: int = 1_000,
    isolation: str = "read_committed",
    fetch_bytes: int = 1_000_000,
) -> Got:
    """Everything from `start` to the end."""
    records: list[Record] = []
    chunks: list[Chunk] = []
    position = start
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.address, isolation_level=isolation, max_partition_fetch_bytes=fetch_bytes
    ) as consumer:
        asked = TopicPartition(*tp)
        consumer.assign([asked])
        consumer.seek(asked, start)
        end = (await consumer.end_offsets([asked]))[asked]
        while position < end:
            for chunk in await unpacker.fetch(consumer, {tp}, 0.5, limit):
                assert chunk.tp == tp
                assert chunk.next_offset > position
                assert all(position <= record.offset < chunk.next_offset for record in chunk.records)
                assert chunk.highwater >= end
                records += chunk.records
                chunks.append(chunk)
                position = chunk.next_offset
        assert position == end
        assert await unpacker.fetch(consumer, {tp}, 0.05, limit) == []
    return Got(records, position, chunks)


async def send_batch(producer: AIOKafkaProducer, tp: TP, values: list[bytes]) -> None:
    """As one record batch."""
    batch = producer.create_batch()
    for value in values:
        assert batch.append(key=None, value=value, timestamp=None) is not None
    await (await producer.send_batch(batch, tp.topic, partition=0))


async def test_what_was_read_is_gone_without_the_garbage_collector(kafka: Kafka, unpacker: Unpacker, tp: TP) -> None:
    gc.collect()
    gc.disable()
    try:
        async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:
            for _ in range(5):
                await send_batch(producer, tp, [bytes(1_000)] * 10)
        assert len((await read(kafka, unpacker, tp, limit=20, fetch_bytes=25_000)).values) == 50
        assert [one for one in gc.get_objects() if isinstance(one, fetcher.PartitionRecords)] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_every_field(kafka: Kafka, unpacker: Unpacker, tp: TP, compression: str | None) -> None:
    sent = [
        (b"k", b"v", 1_700_000_000_123, [("one", b"1"), ("two", b""), ("two", b"again")]),
        (None, b"no key", 1_700_000_000_000, []),
        (b"no value", None, 1_600_000_000_000, []),
        (b"", b"", 1_500_000_000_000, [("none", None)]),
    ]
    async with AIOKafkaProducer(bootstrap_servers=kafka.address, compression_type=compression) as producer:
        batch = producer.create_batch()
        for key, value, timestamp, headers in sent:
            batch.append(key=key, value=value, timestamp=timestamp, headers=headers)
        await (await producer.send_batch(batch, tp.topic, partition=0))
    got = await read(kafka, unpacker, tp)
    assert [(r.key, r.value, r.timestamp, list(r.headers)) for r in got.records] == sent
    assert [r.offset for r in got.records] == [0, 1, 2, 3]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_by_the_broker(kafka: Kafka, unpacker: Unpacker, codec: str) -> None:
    """Where this Python cannot decompress it, each call says so, and none goes on behind it."""
    tp = await new_topic(kafka, compression_type=codec)
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:
        for first in range(0, 30, 10):
            await send_batch(producer, tp, [b"%d" % number for number in range(first, first + 10)])
    if getattr(codecs, f"has_{codec}")():
        assert (await read(kafka, unpacker, tp)).values == [b"%d" % number for number in range(30)]
        return
    async with AIOKafkaConsumer(bootstrap_servers=kafka.address) as consumer:
        asked = TopicPartition(*tp)
        consumer.assign([asked])
        consumer.seek(asked, 0)
        for _ in range(3):
            with pytest.raises(UnsupportedCodecError, match=codec) as raised:
                await unpacker.fetch(consumer, {tp}, 30, 10)
            assert "cramjam" in "".join(raised.value.__notes__)
        assert await consumer.position(asked) == 0


async def test_a_record_larger_than_a_fetch(kafka: Kafka, unpacker: Unpacker) -> None:
    tp = await new_topic(kafka, max_message_bytes="8000000")
    huge = b"x" * 5_000_000
    async with AIOKafkaProducer(bootstrap_servers=kafka.address, max_request_size=8_000_000) as producer:
        for value in (b"before", huge, b"between", huge, b"after"):
            await producer.send_and_wait(tp.topic, value)
    got = await read(kafka, unpacker, tp, fetch_bytes=1_000)
    assert got.values == [b"before", huge, b"between", huge, b"after"]


@pytest.mark.parametrize("start", [0, 1, 4, 9, 10, 13, 19])
async def test_starting_inside_a_batch(kafka: Kafka, unpacker: Unpacker, tp: TP, start: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.address, compression_type="gzip") as producer:
        for first in (0, 10):
            await send_batch(producer, tp, [b"%d" % number for number in range(first, first + 10)])
    got = await read(kafka, unpacker, tp, start=start)
    assert got.values == [b"%d" % number for number in range(start, 20)]
    assert [r.offset for r in got.records] == list(range(start, 20))


async def test_in_parts(kafka: Kafka, unpacker: Unpacker, tp: TP) -> None:
    """Nothing is lost or twice where a fetched result is taken in several calls."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:
        for first in range(0, 100, 10):
            await send_batch(producer, tp, [b"%d" % number for number in range(first, first + 10)])
    got = await read(kafka, unpacker, tp, limit=15)
    assert got.values == [b"%d" % number for number in range(100)]
    assert len(got.chunks) >= 5


async def ends_at(kafka: Kafka, tp: TP, end: int) -> None:
    """The broker says that a transaction is over before its mark lies in the partition."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka.address) as consumer:

        async def is_there() -> bool:
            return end in (await consumer.end_offsets([TopicPartition(*tp)])).values()

        await eventually(is_there, 20, f"{tp} ends at {end}")


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
async def test_transactions(kafka: Kafka, unpacker: Unpacker, tp: TP, isolation: str) -> None:
    """Committed, aborted and none, of several producers, one within the other; control records are never delivered."""
    one = AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id=f"{tp.topic}-one")
    two = AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id=f"{tp.topic}-two")
    plain = AIOKafkaProducer(bootstrap_servers=kafka.address)
    async with one, two, plain:
        await send_batch(plain, tp, [b"before"])  # offset 0
        await one.begin_transaction()
        await send_batch(one, tp, [b"one kept", b"one kept too"])  # 1, 2
        await two.begin_transaction()
        await send_batch(two, tp, [b"two dropped"])  # 3
        await send_batch(plain, tp, [b"between"])  # 4
        await one.commit_transaction()  # 5
        await ends_at(kafka, tp, 6)
        await send_batch(two, tp, [b"two dropped too"])  # 6
        await one.begin_transaction()
        await send_batch(one, tp, [b"one dropped"])  # 7
        await two.abort_transaction()  # 8
        await ends_at(kafka, tp, 9)
        await one.abort_transaction()  # 9
        await ends_at(kafka, tp, 10)
        await two.begin_transaction()
        await send_batch(two, tp, [b"two kept"])  # 10
        await two.commit_transaction()  # 11
        await ends_at(kafka, tp, 12)
    got = await read(kafka, unpacker, tp, isolation=isolation)
    everything = {
        0: b"before", 1: b"one kept", 2: b"one kept too", 3: b"two dropped", 4: b"between", 6: b"two dropped too",
        7: b"one dropped", 10: b"two kept",
    }  # fmt: skip
    kept = {offset: value for offset, value in everything.items() if b"dropped" not in value}
    assert {r.offset: r.value for r in got.records} == (kept if isolation == "read_committed" else everything)
    assert got.position == 12


@pytest.mark.parametrize("start", [1, 2, 3, 4, 5])
async def test_starting_inside_an_aborted_transaction(kafka: Kafka, unpacker: Unpacker, tp: TP, start: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id=tp.topic) as producer:
        await producer.begin_transaction()
        await send_batch(producer, tp, [b"dropped"] * 3)  # 0 to 2
        await send_batch(producer, tp, [b"dropped"])  # 3
        await producer.abort_transaction()  # 4
        await producer.begin_transaction()
        await send_batch(producer, tp, [b"kept"])  # 5
        await producer.commit_transaction()  # 6
    got = await read(kafka, unpacker, tp, start=start)
    assert got.values == [b"kept"]


async def test_nothing_but_control_records_moves_the_position(kafka: Kafka, unpacker: Unpacker, tp: TP) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id=tp.topic) as producer:
        await producer.begin_transaction()
        await send_batch(producer, tp, [b"dropped"])
        await producer.abort_transaction()
    got = await read(kafka, unpacker, tp)
    assert (got.records, got.position) == ([], 2)


async def test_what_is_not_wanted_stays_until_it_is(kafka: Kafka, unpacker: Unpacker, tp: TP) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:
        await send_batch(producer, tp, [b"here"])
    other = TP(f"{tp.topic}-other", 0)
    async with AIOKafkaConsumer(bootstrap_servers=kafka.address) as consumer:
        asked = TopicPartition(*tp)
        consumer.assign([asked])
        consumer.seek(asked, 0)
        assert await unpacker.fetch(consumer, {other}, 0.3, 10) == []
        chunks: list[Chunk] = []
        while not chunks:
            chunks = await unpacker.fetch(consumer, {tp}, 0.5, 10)
        assert [record.value for record in chunks[0].records] == [b"here"]


async def test_after_a_seek_nothing_fetched_before_it_comes(kafka: Kafka, unpacker: Unpacker, tp: TP) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:
        for first in range(0, 30, 10):
            await send_batch(producer, tp, [b"%d" % number for number in range(first, first + 10)])
    async with AIOKafkaConsumer(bootstrap_servers=kafka.address) as consumer:
        asked = TopicPartition(*tp)
        consumer.assign([asked])
        consumer.seek(asked, 0)
        first_chunks: list[Chunk] = []
        while not first_chunks:
            first_chunks = await unpacker.fetch(consumer, {tp}, 0.5, 5)
        assert first_chunks[0].records[0].offset == 0
        consumer.seek(asked, 27)
        values: list[bytes | None] = []
        while len(values) < 3:
            values += [r.value for chunk in await unpacker.fetch(consumer, {tp}, 0.5, 5) for r in chunk.records]
        assert values == [b"27", b"28", b"29"]
