"""Consumer lag on a real broker: each state is caused, by a small group of the test's own, and told with its cause."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import OffsetAndMetadata
from redis.exceptions import ConnectionError as RedisConnectionError
from running import PATIENCE, eventually

from gateway.lag.board import View
from gateway.lag.causes import Cause
from gateway.lag.sampler import Sampler
from gateway.lag.states import Patience, State
from gateway.lag.summary import GroupVerdict, Judged
from stack import ports
from stack.kafka import Kafka
from wire.workers import Heartbeat

EVERY_S = 0.1
QUICK = Patience(
    still_s=1.5, still_max_s=3, leave_s=1.5, held_s=0.5, restore_s=4, late_s=0.5, trough_s=0.4, trend_s=1.2,
    idle_s=2, confirm_s=0.2, clear_s=0.4, told_s=1, stale_s=2,
)  # fmt: skip
WITHIN_S = 20  # of a busy machine; some 2 s of one that is not


@dataclass
class Bench:
    """A topic, who writes it, and who looks at who reads it."""

    kafka: str
    topic: str
    group: str
    sampler: Sampler
    producer: AIOKafkaProducer
    admin: AIOKafkaAdminClient

    async def write(self, number: int, partition: int = 0, age_s: float = 0) -> None:
        at_ms = int((time.time() - age_s) * 1000)
        sent = [
            await self.producer.send(self.topic, b"x", partition=partition, timestamp_ms=at_ms) for _ in range(number)
        ]
        await asyncio.gather(*sent)

    async def reads(self, state: State, cause: Cause | None = None) -> GroupVerdict:
        """Returns the group's verdict as soon as it is that."""

        async def told() -> GroupVerdict | None:
            group = self.sampler.view.groups[self.group]
            causes = {one.verdict.cause for one in self.partitions if one.verdict.state is state}
            return group if group.state is state and (cause is None or cause in causes) else None

        try:
            found = await eventually(told, WITHIN_S, f"{state} {cause}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.sampler.view.groups[self.group]}") from error
        assert found is not None
        return found

    async def reads_well(self) -> GroupVerdict:
        async def fine() -> GroupVerdict | None:
            group = self.sampler.view.groups[self.group]
            return group if group.state.fine else None

        found = await eventually(fine, WITHIN_S, "it reads well")
        assert found is not None
        return found

    @property
    def partitions(self) -> Sequence[Judged]:
        return self.sampler.view.partitions[self.group]

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        """A member that has both partitions, and does nothing by itself."""
        consumer = AIOKafkaConsumer(
            self.topic, bootstrap_servers=self.kafka, group_id=self.group, enable_auto_commit=False,
            auto_offset_reset="earliest", session_timeout_ms=6_000, heartbeat_interval_ms=500,
        )  # fmt: skip
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def commit(self, consumer: AIOKafkaConsumer, offset: int, partition: int = 0) -> None:
        await consumer.commit({TopicPartition(self.topic, partition): OffsetAndMetadata(offset, "")})


@asynccontextmanager
async def bench(kafka: Kafka, partitions: int = 2, group: str = "", **config: str) -> AsyncIterator[Bench]:
    """With a topic of its own, and a group."""
    topic = f"lessons-{uuid.uuid4().hex[:8]}"
    group = group or f"readers-of-{topic}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address, acks="all")
    await admin.start()
    await producer.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])
        groups = {group: (topic,)}
        sampler = Sampler([kafka.address], _nobody, _untold, groups, every_s=EVERY_S, patience=QUICK)
        await sampler.start()
        try:
            yield Bench(kafka.address, topic, group, sampler, producer, admin)
        finally:
            await sampler.stop()
    finally:
        await producer.stop()
        await admin.close()


async def test_what_a_reader_does_is_told_with_its_cause(module_kafka: Kafka) -> None:
    async with bench(module_kafka) as at:
        await at.write(50)
        told = await at.reads(State.STOPPED, Cause.NOBODY)  # nobody ever was in the group
        assert "no member has owned it for" in told.says
        assert "50 records unread" in told.says
        async with at.reader() as reader:
            told = await at.reads(State.STALLED, Cause.STILL)
            assert "its beginning, never having committed" in told.says
            await at.commit(reader, 50)
            await at.reads_well()
            assert {one.newest.committed for one in at.partitions} == {50, None}
            await at.reads(State.IDLE)

            await at.write(20)
            told = await at.reads(State.STALLED, Cause.STILL)
            assert "it has stood at offset 50 for" in told.says
            assert (told.lag, told.counts) == (20, {State.STALLED: 1, State.IDLE: 1})
            await at.commit(reader, 70)
            await at.reads_well()

            await at.commit(reader, 30)
            told = await at.reads(State.REWOUND, Cause.WENT_BACK)
            assert "its offset went back from 70 to 30: 40 records to be read again" in told.says
            await at.commit(reader, 70)
            await at.reads_well()
        await at.write(10)
        told = await at.reads(State.STOPPED, Cause.NOBODY)
        assert "the group has no members, with 10 records unread" in told.says

        await at.admin.delete_records({TopicPartition(at.topic, 0): RecordsToDelete(before_offset=76)})
        told = await at.reads(State.LOSING_DATA, Cause.DELETED_UNREAD)
        assert "deleted unread: 6 records; it stands at offset 70, and the first that is left is 76" in told.says
        assert (told.lag, told.lost_total, told.confidence) == (4, 6, 1.0)
        async with at.reader() as reader:
            await at.commit(reader, 80)
            told = await at.reads_well()
        assert told.lost_total == 6
        assert [change.after for change in at.sampler.changes if change.after is State.LOSING_DATA] == [
            State.LOSING_DATA
        ]


async def test_who_is_slower_than_what_comes_falls_behind_and_catches_up(module_kafka: Kafka) -> None:
    async with bench(module_kafka) as at, at.reader() as reader:
        reading = {"a_turn": 10}
        stop = asyncio.Event()

        async def turns() -> None:
            """Ten records come a turn."""
            come = read = 0
            while not stop.is_set():
                await at.write(10)
                come += 10
                read = min(come, read + reading["a_turn"])
                await at.commit(reader, read)
                await asyncio.sleep(0.02)

        turning = asyncio.create_task(turns())
        try:
            await at.reads_well()
            reading["a_turn"] = 2
            told = await at.reads(State.FALLING_BEHIND, Cause.HOT_PARTITION)
            assert "100% of what comes into the topic comes into this partition" in told.says
            assert told.lag_s is not None
            assert told.lag_s > QUICK.late_s
            reading["a_turn"] = 14
            told = await at.reads(State.CATCHING_UP)
            assert "and fewer by the second" in told.says
            reading["a_turn"] = 1_000
            await at.reads_well()
        finally:
            stop.set()
            await turning


async def test_marks_of_transactions_are_no_lag_and_no_loss(module_kafka: Kafka) -> None:
    async with bench(module_kafka, partitions=1) as at, at.reader() as reader:
        producer = AIOKafkaProducer(bootstrap_servers=at.kafka, transactional_id="writer")
        await producer.start()
        try:
            async with producer.transaction():
                await producer.send(at.topic, b"x", partition=0)
        finally:
            await producer.stop()
        await at.commit(reader, 1)  # the record is at 0, the mark at 1

        async def seen() -> bool:
            return at.partitions[0].newest.committed == 1

        await eventually(seen, WITHIN_S, "the commit is seen")
        told = await at.reads_well()
        assert (told.lag, told.lag_s) == (0, 0)
        assert (at.partitions[0].newest.end, at.partitions[0].newest.position) == (2, 2)
        await at.write(1)
        await at.admin.delete_records({TopicPartition(at.topic, 0): RecordsToDelete(before_offset=2)})
        told = await at.reads(State.STALLED)
        assert (told.lag, told.lost_total) == (1, 0)
        assert told.lag_s is not None
        await at.commit(reader, 3)
        await at.reads_well()


async def test_lag_in_seconds_is_by_the_records_own_time_and_so_is_what_is_left_of_them(module_kafka: Kafka) -> None:
    async with bench(module_kafka, partitions=1, **{"retention.ms": "3600000"}) as at, at.reader() as reader:
        await at.write(5, age_s=1_000)
        await at.commit(reader, 2)
        told = await at.reads(State.STALLED)
        assert told.lag_s == pytest.approx(1_000, abs=60)
        assert told.margin_s == pytest.approx(2_600, abs=60)
        assert told.lag == 3
        await at.write(5, age_s=3_550)
        await at.commit(reader, 5)
        told = await at.reads(State.LOSING_DATA, Cause.ABOUT_TO_BE_DELETED)
        assert "its first unread record is" in told.says


async def test_what_a_worker_says_of_itself_is_the_cause(module_kafka: Kafka) -> None:
    """Of a pipeline's group, so that heartbeats are looked for."""
    beat = Heartbeat(
        worker_id="live-here-1", app="live", version="1", pid=1, web_port=1, started_at_ms=1, sent_at_ms=0,
        partitions={}, events_handled=0, last_progress_ms=None, lag_records=1, loop_lag_ms=0, ready=True,
        reason="", held_by="redis: connection refused",
    )  # fmt: skip
    beats = [beat]

    async def heard() -> Sequence[Heartbeat]:
        if not beats:
            raise RedisConnectionError("away")
        now_ms = int(time.time() * 1000)
        return [msgspec.structs.replace(one, sent_at_ms=now_ms) for one in beats]

    async with bench(module_kafka, partitions=1, group="live") as at, at.reader():
        beats[0] = beat = msgspec.structs.replace(beat, partitions={at.topic: [0]})
        sampler = Sampler([at.kafka], heard, _untold, {"live": (at.topic,)}, every_s=EVERY_S, patience=QUICK)
        await sampler.start()
        try:
            await at.write(1)

            async def says(words: str) -> bool:
                return words in sampler.view.groups["live"].says

            for change, words in (
                ({}, "its worker live-here-1 has waited"),
                ({"held_by": "", "reason": "a batch has been under way for 41 s"}, "a batch has been under way"),
                ({"held_by": "", "app": "history"}, "the worker that owns it sends no heartbeats"),
            ):
                beats[0] = msgspec.structs.replace(beat, **change)
                await eventually(lambda words=words: says(words), WITHIN_S, words)  # type: ignore[misc]
            beats.clear()
            await eventually(lambda: says("for a store that is away: redis: away"), WITHIN_S, "without Redis")
        finally:
            await sampler.stop()


async def test_a_broker_that_hangs_is_unknown_with_the_reason_and_back_again(module_kafka: Kafka) -> None:
    async with bench(module_kafka, partitions=1) as at:
        async with at.reader() as reader:
            await at.write(1)
            await at.commit(reader, 1)
            await at.reads_well()
        process = psutil.Process(module_kafka.pid)
        process.send_signal(signal.SIGSTOP)
        try:
            told = await at.reads(State.UNKNOWN, Cause.NO_SAMPLES)
        finally:
            process.send_signal(signal.SIGCONT)
        assert "nothing has been seen of it for" in told.says
        assert f"Kafka at {at.kafka}" in told.says
        await at.reads(State.STOPPED)  # its only reader has left
        assert not at.sampler.away


async def test_a_topic_that_is_not_there_is_said(module_kafka: Kafka) -> None:
    async with bench(module_kafka, partitions=1) as at:
        sampler = Sampler([at.kafka], _nobody, _untold, {at.group: ("nowhere",)}, every_s=EVERY_S)
        await sampler.start()

        async def said() -> bool:
            return sampler.view.groups[at.group].says == "there is no topic nowhere"

        try:
            await eventually(said, WITHIN_S, "it is said")
        finally:
            await sampler.stop()


async def test_it_can_be_stopped_at_any_moment() -> None:
    """aiokafka loses a cancellation that comes while a connection is refused."""
    for step in range(30):
        sampler = Sampler([f"127.0.0.1:{ports.free()}"], _nobody, _untold, {"readers": ("nowhere",)}, every_s=EVERY_S)
        await sampler.start()
        await asyncio.sleep(step / 10_000)
        async with asyncio.timeout(10 * PATIENCE):
            await sampler.stop()


def _untold(_view: View, _seen_at_s: float | None) -> None:
    pass


async def _nobody() -> Sequence[Heartbeat]:
    return []
