"""A Faust app whose agents get batches, and whose tables and source offsets are committed together.

    app = BatchingApp("aggregate", broker="kafka://127.0.0.1:9092")
    activity = app.batch_topic("activity")
    students = app.write_behind_table("students", source="activity")

    @app.agent(activity)
    async def fold(batches):
        async for batch in batches:
            counts = students.partition(batch.partition)
            for record in batch.records: ...

What a flush writes is one Kafka transaction per partition number: every key changed since the last one, the positions,
and the offsets of the group. So a restored table and the offset after it always agree, and an event counts once in it,
whichever process was killed when. Records published by agents or hooks are not part of it: they may come twice.

Relies on faust.App._on_partitions_revoked, _on_partitions_assigned, _stop_consumer, _new_transport, _crash and
_update_assignment (app/base.py).
"""

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import faust
from aiokafka import AIOKafkaConsumer
from faust.exceptions import ImproperlyConfigured
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth, server_list
from faust.types import TP

from batching import telemetry, unpack
from batching.agents import BatchAgent, BatchStream, BatchTopic
from batching.delivery import Delivery
from batching.limits import Limits
from batching.ownership import Ownership
from batching.records import Batch
from batching.recovery import Recovery
from batching.shard import Shard
from batching.tables import Key, Tables, Value, WriteBehindTable
from batching.transport import Transport

log = logging.getLogger(__name__)

Hook = TypeVar("Hook", bound=Callable[[int], Any])

# How long a worker may fetch nothing and stay in its group: its heartbeats say that it lives, its lag whether it works.
_HELD_S_MAX = 30 * 86_400.0


class BatchingApp(faust.App):  # type: ignore[misc]
    """`options` are Faust's settings. What must not be changed is not among them: Agent, Stream, TableManager."""

    def __init__(self, id: str, *, limits: Limits | None = None, **options: Any) -> None:  # noqa: A002 - Faust's name
        self.limits = limits or Limits()
        self.unpacker = unpack.choose(self.limits.unpacker)
        self.delivery = Delivery(self.limits)
        self.write_behind: list[WriteBehindTable[Any, Any]] = []
        self.restored = asyncio.Event()  # of the first assignment
        self.batch_topics: dict[str, BatchTopic] = {}
        self.before_commit_hooks: list[Callable[[int], Awaitable[None]]] = []
        self.restored_hooks: list[Callable[[int], Any]] = []
        self.lost_hooks: list[Callable[[int], Any]] = []
        self._leaving: asyncio.TimerHandle | None = None
        recovery = Recovery(
            self._new_reader, self.unpacker, self.write_behind, self._create_changelog, self.limits.restore_stall_s, id
        )
        self.ownership = Ownership(self, recovery)
        options = {
            "store": "memory://",
            "topic_disable_leader": True,
            "broker_max_poll_interval": _HELD_S_MAX,
            "broker_commit_interval": 1.0,
            **options,
        }
        super().__init__(id, Agent=BatchAgent, Stream=BatchStream, TableManager=Tables, **options)

    # -- what an application says

    def batch_topic(self, name: str) -> BatchTopic:
        """A topic to read by the batch; once an app, for one agent."""
        if name in self.batch_topics:
            raise ImproperlyConfigured(f"topic {name} is read already")
        topic = BatchTopic(self, topics=[name], key_type=bytes, value_type=bytes)
        self.batch_topics[name] = topic
        return topic

    def write_behind_table(
        self,
        name: str,
        *,
        source: str,
        key_type: type[Key] = bytes,  # type: ignore[assignment]
        encode: Callable[[Value], bytes] = bytes,  # type: ignore[assignment]
        decode: Callable[[bytes], Value] = bytes,  # type: ignore[assignment]
        keeps: bool = True,
    ) -> WriteBehindTable[Key, Value]:
        """A table with the changelog `<app>-<name>-changelog` and the partitions of its source, a batch topic. Values
        are bytes, or what `encode` and `decode` make bytes of; `encode` is called at a flush, not at each change.

        `keeps=False`: who uses it holds all of it in a form of his own. He takes what has been restored (`taken`), and
        of what he has `put` in, nothing is left when it is flushed.
        """
        if source not in self.batch_topics:
            raise ImproperlyConfigured(f"table {name}: its source {source} is no batch topic of this app")
        changelog = f"{self.conf.id}-{name}-changelog"
        table = WriteBehindTable(name, changelog, source, key_type, encode, decode, keeps)
        self.write_behind.append(table)
        return table

    def before_commit(self, hook: Hook) -> Hook:
        """Awaited with the partition number before each flush, at a batch boundary: while it runs no agent has a batch
        of the partition. What it awaits (its sends) is done, and what it marks dirty is in, when the flush commits."""
        self.before_commit_hooks.append(hook)
        return hook

    def on_partition_restored(self, hook: Hook) -> Hook:
        """Called with the partition number when its tables are as committed, before its first batch. Async or not."""
        self.restored_hooks.append(hook)
        return hook

    def on_partition_lost(self, hook: Hook) -> Hook:
        """Called with the partition number when its tables have been dropped. Async or not."""
        self.lost_hooks.append(hook)
        return hook

    # -- batches

    def acknowledge(self, shard: Shard, batch: Batch) -> None:
        """The agent is through with it."""
        if not self.delivery.finish(shard, batch):
            return  # given back
        telemetry.acknowledged(self.conf.id, batch.tp.topic, batch.partition, len(batch.records))

    def delivers(self, batch: Batch) -> bool:
        """Whether its partition is still ours. If not, who waits for a server with a batch should give it back: the
        rebalance waits for it, and ends the process where that takes too long."""
        shard = self.delivery.shards.get(batch.partition)
        return shard is not None and shard.open

    def give_back(self, batch: Batch) -> None:
        """Called by its agent within the loop body, once `delivers` says no: whoever has the partition next reads it
        again. Not for an app with tables, in which it may be already."""
        if self.write_behind or self.delivers(batch):
            raise ImproperlyConfigured(
                "a batch is given back of a partition that is not ours, by an app without tables"
            )
        self.delivery.shards[batch.partition].give_back(batch.tp.topic)

    # -- in place of Faust's

    async def flush(self) -> bool:
        """Commits every partition that is ours. Not to be awaited within a batch, for whose end it waits."""
        await self.ownership.flush()
        return True

    def fail(self, reason: str, error: BaseException | None = None) -> NoReturn:
        """Ends the process at once, with the reason on its log and exit code 70: what is not committed will be read
        again. An orderly stop would commit, or wait for what has just failed."""
        log.critical("%s: leaving: %s", self.conf.id, reason, exc_info=error)
        logging.shutdown()
        os._exit(os.EX_SOFTWARE)

    def _crash(self, reason: BaseException) -> None:
        """Of any of Faust's services; Faust would go on stopping, and may hang there."""
        self.fail("a service crashed", reason)

    async def on_start(self) -> None:
        gc.set_threshold(*self.limits.gc_thresholds)
        await super().on_start()

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """None: the tables are in memory and in Kafka."""

    def _new_reader(self) -> AIOKafkaConsumer:
        """For changelogs: no group, no commits, only what was committed."""
        conf = self.conf
        transport = self.transport
        return AIOKafkaConsumer(
            bootstrap_servers=server_list(transport.url, transport.default_port),
            client_id=f"{conf.broker_client_id}-restore",
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=int(self.limits.fetch_max_wait_s * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            **credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        if self.should_stop:
            self._on_rebalance_when_stopped()
            return
        try:
            await self.ownership.release()
            await self.on_partitions_revoked.send(revoked)
        except Exception as error:  # aiokafka would log it and go on
            self.fail("giving partitions away failed", error)

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:  # noqa: ARG002 - Faust's
        if self.should_stop:
            self._on_rebalance_when_stopped()
            return
        try:
            self._update_assignment(assigned)
            self.ownership.assign(assigned)
            await self.on_partitions_assigned.send(assigned)
        except Exception as error:
            self.fail("taking partitions failed", error)

    async def _create_changelog(self, name: str, partitions: int) -> None:
        if self.conf.topic_allow_declare:
            await self.consumer.create_topic(name, partitions, self.conf.topic_replication_factor, compacting=True)

    async def _stop_consumer(self) -> None:
        """What has been acknowledged is committed; what an agent has now it may finish."""
        if self._consumer is not None:
            await self.ownership.release()
        self._leaving = asyncio.get_running_loop().call_later(self.limits.stop_s, self._leave)

    def _leave(self) -> None:
        log.warning("%s: did not stop in time; everything acknowledged is committed", self.conf.id)
        logging.shutdown()
        os._exit(os.EX_OK)

    async def stop(self) -> None:
        await super().stop()
        if self._leaving is not None:
            self._leaving.cancel()
