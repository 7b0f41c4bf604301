"""A broker's topics, read and mended through aiokafka's admin client.

aiokafka 0.14 against Kafka 4.1: it has no IncrementalAlterConfigs, and AlterConfigs sets everything it does not name
back to the default, so a topic's own settings are read first and sent along. CreateTopics stops at v3, which knows no
"the broker's default" for the replication factor. Admin answers carry error codes that only some calls raise.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code
from msgspec import DecodeError

from wire import topics
from wire.topics import Actual, AddPartitions, Applied, Create, Plan, SetConfig, Topic

REQUEST_TIMEOUT_MS = 10_000
WORK_TIMEOUT_S = 60.0  # reading or mending all topics; a broker of one node takes 1 to 3 s for a first apply
SETTLE_TIMEOUT_S = 15.0  # a change is acknowledged before every part of the broker shows it
COPIES_MAX = 3  # replicas where there are that many brokers

_TOPIC_ALREADY_EXISTS = 36  # another `apply` was quicker; the re-read at the end judges what it made
_SET_ON_TOPIC = 1  # ConfigSource.TOPIC_CONFIG: set on the topic itself, not inherited

_log = logging.getLogger(__name__)


class BrokerError(Exception):
    """The broker cannot be reached, or did not do what it was asked; the message says which and where."""


class Broker:
    """The topics of one cluster. Made by `connected`."""

    def __init__(self, admin: Any, addresses: str) -> None:
        self._admin = admin
        self.addresses = addresses

    async def actual(self, wanted: Mapping[str, Topic]) -> dict[str, Actual]:
        """Every topic that is not Kafka's own; configurations only of those in `wanted`."""
        found = {
            topic["topic"]: len(topic["partitions"])
            for topic in await self._admin.describe_topics()
            if not topic["is_internal"] and topic["error_code"] == 0
        }
        configs = await self._configs([name for name in wanted if name in found])
        return {
            name: Actual(partitions, {key: value for key, (value, _) in configs.get(name, {}).items()})
            for name, partitions in found.items()
        }

    async def applied(self) -> dict[str, Applied]:
        """What APPLIED holds, to its end as of now. Nothing where a record cannot be read: `apply` writes it anew."""
        partition = TopicPartition(topics.APPLIED, 0)
        records: dict[str, Applied] = {}
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.addresses, enable_auto_commit=False, request_timeout_ms=REQUEST_TIMEOUT_MS
        )
        await consumer.start()
        try:
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            while await consumer.position(partition) < end:
                batches = await consumer.getmany(partition, timeout_ms=REQUEST_TIMEOUT_MS)
                for record in (record for batch in batches.values() for record in batch):
                    name = (record.key or b"").decode("utf-8", "replace")
                    records.pop(name, None)
                    if record.value is None:
                        continue
                    try:
                        records[name] = topics.decode_applied(record.value)
                    except DecodeError as error:
                        _log.warning("%s, offset %d, key %r: %s", topics.APPLIED, record.offset, name, error)
        finally:
            await consumer.stop()
        return records

    async def plan(self, wanted: Mapping[str, Topic]) -> Plan:
        """Raises BrokerError."""
        with_answers = f"{self.addresses} did not tell its topics"
        async with _bounded(with_answers):
            actual = await self.actual(wanted)
            return topics.diff(wanted, actual, await self.applied() if topics.APPLIED in actual else {})

    async def mend(self, plan: Plan) -> None:
        """Carries out the plan's steps. Cancelled or killed half way, the next plan holds the rest. Raises BrokerError.

        The record in APPLIED goes first: were it last, a topic made anew with another key would, after a death in
        between, be held against the key of the topic deleted before it.
        """
        async with _bounded(f"{self.addresses} did not carry out the plan"):
            new = [step.topic for step in plan.steps if isinstance(step, Create)]
            await self._create([topic for topic in new if topic.name == topics.APPLIED])
            await self._record({step.topic.name: step.topic for step in plan.steps}.values())
            await self._create([topic for topic in new if topic.name != topics.APPLIED])
            for step in plan.steps:
                if isinstance(step, AddPartitions):
                    wanted = NewPartitions(step.topic.partitions)
                    await self._admin.create_partitions({step.topic.name: wanted}, timeout_ms=REQUEST_TIMEOUT_MS)
                elif isinstance(step, SetConfig):
                    await self._set_configs(step.topic)

    async def settle(self, wanted: Mapping[str, Topic]) -> Plan:
        """Reads again until nothing differs; what still does after SETTLE_TIMEOUT_S is in the plan returned."""
        deadline = asyncio.get_running_loop().time() + SETTLE_TIMEOUT_S
        while True:
            plan = await self.plan(wanted)
            if not plan.differs or asyncio.get_running_loop().time() > deadline:
                return plan
            await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311 - jitter, not a secret

    async def _configs(self, names: list[str]) -> dict[str, dict[str, tuple[str, int]]]:
        """Topic → setting → (value, where it was set)."""
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        configs = {}
        for response in await self._admin.describe_configs(resources):
            for code, message, _, name, entries in response.resources:
                _raise(code, message, name)
                configs[name] = {entry[0]: (entry[1], entry[3]) for entry in entries}
        return configs

    async def _create(self, new: list[Topic]) -> None:
        if not new:
            return
        copies = min(COPIES_MAX, len((await self._admin.describe_cluster())["brokers"]))
        response = await self._admin.create_topics(
            [NewTopic(topic.name, topic.partitions, copies, topic_configs=topic.configs) for topic in new],
            timeout_ms=REQUEST_TIMEOUT_MS,
        )
        for name, code, message in response.topic_errors:
            if code != _TOPIC_ALREADY_EXISTS:
                _raise(code, message, name)

    async def _set_configs(self, topic: Topic) -> None:
        own = {
            name: value
            for name, (value, source) in (await self._configs([topic.name]))[topic.name].items()
            if source == _SET_ON_TOPIC
        }
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, own | topic.configs)
        for response in await self._admin.alter_configs([resource]):
            for code, message, _, name in response.resources:
                _raise(code, message, name)

    async def _record(self, changed: Iterable[Topic]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.addresses, acks="all", request_timeout_ms=REQUEST_TIMEOUT_MS)
        await producer.start()
        try:
            for topic in changed:
                value = topics.encode_applied(Applied.of(topic))
                await producer.send_and_wait(topics.APPLIED, key=topic.name.encode(), value=value, partition=0)
        finally:
            await producer.stop()


@asynccontextmanager
async def connected(addresses: str, wait_s: float) -> AsyncIterator[Broker]:
    """A broker that answers, waited for up to `wait_s` seconds. Raises BrokerError."""
    admin = await _answering(addresses, wait_s)
    try:
        yield Broker(admin, addresses)
    finally:
        await admin.close()


async def _answering(addresses: str, wait_s: float) -> Any:
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s
    pause_s = 0.1
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=addresses, request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            async with asyncio.timeout(max(1.0, deadline - clock())):
                await admin.start()
                if (await admin.describe_cluster())["brokers"]:
                    return admin
            reason = "it names no broker yet"
        except (KafkaError, OSError) as error:  # TimeoutError is an OSError
            # aiokafka's own words for a refused connection say nothing more than that
            reason = "not reached" if isinstance(error, KafkaConnectionError) else str(error) or type(error).__name__
        except BaseException:
            await admin.close()
            raise
        await admin.close()
        if clock() >= deadline:
            raise BrokerError(f"no Kafka broker answers at {addresses} (waited {wait_s:g} s): {reason}")
        await asyncio.sleep(min(random.uniform(pause_s / 2, pause_s), max(0.0, deadline - clock())))  # noqa: S311
        pause_s = min(2.0, pause_s * 2)


@asynccontextmanager
async def _bounded(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(WORK_TIMEOUT_S):
            yield
    except TimeoutError:
        raise BrokerError(f"{what} within {WORK_TIMEOUT_S:g} s") from None
    except (KafkaError, OSError) as error:
        raise BrokerError(f"{what}: {str(error) or type(error).__name__}") from error


def _raise(code: int, message: str | None, topic: str) -> None:
    if code:
        raise for_code(code)(f"topic {topic!r}: {message or 'no reason given'}")
