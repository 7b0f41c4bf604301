"""What Kafka knows of our consumer groups, asked over two connections that stay open.

aiokafka 0.14: of several groups described in one request, all but the first are misread; and an answer without the
offsets that were asked for is an error that it does not raise, so each partition is asked for by name.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError, for_code

from gateway.lag.samples import Phase

REQUEST_TIMEOUT_MS = 5_000
CLOSING_S = 2.0
READ_S = 1.5  # for the timestamps of all records asked for; those not read by then are not known
READ_WAIT_MS = 100
# Of a partition at once: its first batch comes whole however big it is.
READ_BYTES = 32_768
COORDINATOR_S = 0.2  # until it is asked for again
RETENTION = "retention.ms"

_PHASES = {
    "Stable": Phase.STABLE,
    "PreparingRebalance": Phase.REBALANCING,
    "CompletingRebalance": Phase.REBALANCING,
    "Empty": Phase.EMPTY,
    "Dead": Phase.EMPTY,  # nobody has ever been in it, or it is forgotten
}


class AnswerError(Exception):
    """Kafka answered, but not what was asked; the message says what."""


@dataclass(frozen=True)
class Members:
    phase: Phase
    number: int
    owners: Mapping[TopicPartition, str]


@dataclass(frozen=True)
class Topic:
    partitions: int
    leaderless: Sequence[int]
    configs: Mapping[str, str]

    @property
    def retention_s(self) -> float | None:
        """None: for good."""
        kept_ms = int(self.configs.get(RETENTION, -1))
        deletes = "delete" in self.configs.get("cleanup.policy", "delete")
        return kept_ms / 1000 if kept_ms >= 0 and deletes else None


@dataclass(frozen=True)
class Next:
    """The first record at or behind an offset."""

    position: int  # where there is none, the end
    timestamp_ms: int | None


class Broker:
    """All of it raises KafkaError, OSError, AnswerError, or waits for REQUEST_TIMEOUT_MS at most. After an error it is
    to be closed, and another one made."""

    def __init__(self, servers: Sequence[str]) -> None:
        options: dict[str, Any] = {
            "bootstrap_servers": list(servers),
            "client_id": "classpulse-lag",
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
        }
        self._admin = AIOKafkaAdminClient(**options)
        self._consumer = AIOKafkaConsumer(
            **options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # retention may be quicker than we are
            isolation_level="read_committed",  # as our workers read: an end is the last stable offset
            max_partition_fetch_bytes=READ_BYTES,
            fetch_max_wait_ms=READ_WAIT_MS,
        )
        self._coordinators: dict[str, int] = {}
        self._assigned: set[TopicPartition] = set()

    async def open(self) -> None:
        await self._admin.start()
        await self._consumer.start()

    async def close(self) -> None:
        for part in (self._consumer.stop, self._admin.close):
            try:
                await asyncio.wait_for(part(), CLOSING_S)
            except (KafkaError, OSError, TimeoutError):
                continue  # it is of no use any more, whatever it says

    async def topics(self, names: Collection[str]) -> dict[str, Topic]:
        """Those that there are."""
        described = [topic for topic in await self._admin.describe_topics(list(names)) if topic["error_code"] == 0]
        configs = await self._configs([topic["topic"] for topic in described])
        return {
            topic["topic"]: Topic(
                len(topic["partitions"]),
                [one["partition"] for one in topic["partitions"] if one["error_code"] or one["leader"] < 0],
                configs.get(topic["topic"], {}),
            )
            for topic in described
        }

    async def _configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        settings = dict.fromkeys((RETENTION, "cleanup.policy"))
        asked = [ConfigResource(ConfigResourceType.TOPIC, name, settings) for name in names]
        found = {}
        for answer in await self._admin.describe_configs(asked):
            for code, message, _, name, entries in answer.resources:
                if code:
                    raise AnswerError(f"settings of topic {name}: {message or for_code(code).__name__}")
                found[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
        return found

    def watch(self, partitions: Collection[TopicPartition]) -> None:
        """Those to be asked about from now on."""
        if self._assigned != set(partitions):
            self._assigned = set(partitions)
            self._consumer.assign(list(partitions))
            self._consumer.pause(*partitions)

    async def firsts(self, of: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        found: dict[TopicPartition, int] = await self._consumer.beginning_offsets(list(of))
        return found

    async def ends(self, of: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of each partition's next record, behind the last transaction that is settled."""
        found: dict[TopicPartition, int] = await self._consumer.end_offsets(list(of))
        return found

    async def members(self, group: str) -> Members:
        answers = await self._admin.describe_consumer_groups([group], await self._coordinator(group))
        ((code, _, state, _, _, members, *_),) = answers[0].groups
        if code:
            raise for_code(code)(f"group {group}")
        owners: dict[TopicPartition, str] = {}
        for member_id, _, _, _, assignment in members:
            for topic, numbers in ConsumerProtocol.ASSIGNMENT.decode(assignment).assignment if assignment else ():
                owners |= {TopicPartition(topic, number): member_id for number in numbers}
        return Members(_PHASES.get(state, Phase.UNKNOWN), len(members), owners)

    async def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int | None]:
        """None: never."""
        coordinator = await self._coordinator(group)
        found = await self._admin.list_consumer_group_offsets(group, coordinator, list(partitions))
        if missing := [tp for tp in partitions if tp not in found]:
            raise AnswerError(f"the coordinator of group {group} does not tell its offsets, as of {missing[0]}")
        return {tp: found[tp].offset if found[tp].offset >= 0 else None for tp in partitions}

    async def _coordinator(self, group: str) -> int:
        """Waits for one as long as the caller likes: the first to ask a new cluster is told to come again."""
        while group not in self._coordinators:
            try:
                self._coordinators[group] = await self._admin.find_coordinator(group)
            except GroupCoordinatorNotAvailableError:
                await asyncio.sleep(COORDINATOR_S)
        return self._coordinators[group]

    async def records(
        self, places: Iterable[tuple[TopicPartition, int]], ends: Mapping[TopicPartition, int]
    ) -> dict[tuple[TopicPartition, int], Next]:
        """The first record at or behind each, as far as they can be read within READ_S."""
        left: defaultdict[TopicPartition, list[int]] = defaultdict(list)
        for tp, offset in set(places):
            left[tp].append(offset)
        found: dict[tuple[TopicPartition, int], Next] = {}
        clock = asyncio.get_running_loop().time
        until = clock() + READ_S
        while left and clock() < until:  # one offset of each partition at a time
            wanted = {tp: offsets.pop() for tp, offsets in left.items()}
            left = defaultdict(list, {tp: offsets for tp, offsets in left.items() if offsets})
            try:
                await self._read(wanted, ends, found, until)
            except KafkaError:  # one that cannot be read must not hide all others
                continue
            finally:
                self._consumer.pause(*wanted)
        return found

    async def _read(
        self,
        wanted: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        found: dict[tuple[TopicPartition, int], Next],
        until: float,
    ) -> None:
        consumer, clock = self._consumer, asyncio.get_running_loop().time
        for tp, offset in wanted.items():
            consumer.seek(tp, offset)
        left = dict(wanted)
        consumer.resume(*left)
        while left and clock() < until:
            fetched = await consumer.getmany(*left, timeout_ms=READ_WAIT_MS, max_records=1)
            for tp, (record, *_) in fetched.items():
                found[tp, left.pop(tp)] = Next(record.offset, record.timestamp if record.timestamp >= 0 else None)
                consumer.pause(tp)
            if fetched:
                continue
            for tp in list(left):  # marks of transactions, and what was aborted, are never given
                if await consumer.position(tp) >= ends[tp]:
                    found[tp, left.pop(tp)] = Next(ends[tp], None)
                    consumer.pause(tp)
