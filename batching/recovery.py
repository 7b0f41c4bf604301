"""Restoring shards: the tables from their changelogs, then where to read on.

The changelogs tell both. Each transaction wrote the positions beside the values, so they agree whatever happened, and
the group's committed offsets are asked only where there is no changelog yet. A changelog is read by a consumer of its
own, without a group, until its position is at the end that was asked before; control records and aborted ones take
offsets and are never delivered, so counting records would never end.

Relies on aiokafka's client.fetch_all_metadata.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from batching import telemetry
from batching.shard import Shard
from batching.starting import started
from batching.tables import WriteBehindTable
from batching.unpack import Unpacker

log = logging.getLogger(__name__)

_PROGRESS_S = 5.0
_CHUNK_RECORDS = 5_000
_FETCH_S = 1.0
_ASK_S = 30.0  # for one question to the broker
_AGAIN_S = 0.5


class RecoveryError(Exception):
    """Restoring does not get on, or what is there does not fit together."""


class Recovery:
    def __init__(
        self,
        consumer: Callable[[], AIOKafkaConsumer],
        unpacker: Unpacker,
        tables: Collection[WriteBehindTable[Any, Any]],
        create: Callable[[str, int], Awaitable[None]],
        stall_s: float,
        app_id: str,
    ) -> None:
        """`create` makes a changelog with so many partitions, if it may; one that is there already is no error."""
        self._new_consumer = consumer
        self._unpacker = unpacker
        self._tables = tables
        self._create = create
        self._stall_s = stall_s
        self._app_id = app_id

    async def restore(self, shards: Iterable[Shard]) -> dict[int, dict[str, int]]:
        """Fills the tables of the shards; the positions that their changelogs tell, by number. Their writers have been
        started before: nobody else writes these changelogs any more.

        A shard whose changelogs end where its own last transaction left them is as it was, and is not read again.
        Raises RecoveryError, or aiokafka's errors. Cancelled, it leaves tables half filled.
        """
        shards = list(shards)
        told: dict[int, dict[str, int]] = {shard.number: {} for shard in shards}
        if not shards or not self._tables:
            return told
        async with asyncio.timeout(_ASK_S):
            consumer = await started(self._new_consumer)
        try:
            tps = [TopicPartition(table.changelog, shard.number) for shard in shards for table in self._tables]
            await self._check(consumer)
            ends = await asyncio.wait_for(consumer.end_offsets(tps), _ASK_S)
            starts = await asyncio.wait_for(consumer.beginning_offsets(tps), _ASK_S)
            left: dict[TP, tuple[WriteBehindTable[Any, Any], int]] = {}
            for shard in shards:
                here = {table.changelog: ends[TopicPartition(table.changelog, shard.number)] for table in self._tables}
                if here == shard.ends:
                    told[shard.number] = dict(shard.position)
                    continue
                shard.ends = {**here}
                for table in self._tables:
                    table.reset(shard.number)
                    left[TP(table.changelog, shard.number)] = (table, here[table.changelog])
            await self._read(consumer, left, starts, told)
        finally:
            await consumer.stop()
        return told

    async def _check(self, consumer: AIOKafkaConsumer) -> None:
        """A changelog with other partitions than its source would never be found again."""
        deadline = time.monotonic() + _ASK_S
        while True:
            try:
                cluster = await consumer._client.fetch_all_metadata()  # the public calls know only what is subscribed
            except KafkaError:  # a broker that is on its way back is waited for
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_AGAIN_S)
                continue
            for table in self._tables:
                source = cluster.partitions_for_topic(table.source)
                if source and not cluster.partitions_for_topic(table.changelog):
                    await self._create(table.changelog, len(source))
            counts = [
                (len(cluster.partitions_for_topic(topic) or ()), topic)
                for table in self._tables
                for topic in (table.source, table.changelog)
            ]
            if len({count for count, _ in counts}) == 1 and counts[0][0]:
                return
            if time.monotonic() > deadline:
                told = ", ".join(f"{topic}: {count}" for count, topic in counts)
                raise RecoveryError(f"sources and changelogs must have the same partitions, but have {told}")
            await asyncio.sleep(_AGAIN_S)  # one that has just been created is not known at once

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        left: dict[TP, tuple[WriteBehindTable[Any, Any], int]],
        starts: dict[TopicPartition, int],
        told: dict[int, dict[str, int]],
    ) -> None:
        left = {tp: (table, end) for tp, (table, end) in left.items() if starts[tp] < end}
        if not left:
            return
        consumer.assign([TopicPartition(*tp) for tp in left])
        for tp in left:
            consumer.seek(TopicPartition(*tp), starts[tp])
        total = sum(end - starts[tp] for tp, (_, end) in left.items())
        at = {tp: starts[tp] for tp in left}
        ends = {tp: end for tp, (_, end) in left.items()}
        records, began = 0, time.monotonic()
        moved, said = began, began
        while left:
            chunks = await self._unpacker.fetch(consumer, list(left), _FETCH_S, _CHUNK_RECORDS)
            now = time.monotonic()
            for chunk in chunks:
                table, end = left[chunk.tp]
                try:
                    found = table.restore(chunk.tp.partition, chunk.records)
                except Exception as error:
                    raise RecoveryError(f"{chunk.tp}: a record before {chunk.next_offset} cannot be decoded") from error
                # Several tables tell: one that is new tells less.
                positions = told[chunk.tp.partition]
                positions.update({topic: max(to, positions.get(topic, 0)) for topic, to in found.items()})
                records += len(chunk.records)
                at[chunk.tp] = chunk.next_offset
                if chunk.next_offset >= end:
                    del left[chunk.tp]
                moved = now
                await asyncio.sleep(0)
            if now - moved > self._stall_s:
                raise RecoveryError(f"nothing could be read of {sorted(left)} for {self._stall_s:.0f} s")
            remaining = sum(max(0, end - at[tp]) for tp, end in ends.items())
            telemetry.RESTORE_REMAINING.labels(self._app_id).set(remaining)
            if now - said >= _PROGRESS_S:
                said = now
                log.info("restoring: %d of %d offsets read, %.0f/s", total - remaining, total, records / (now - began))
        took = max(time.monotonic() - began, 1e-6)
        telemetry.RESTORE_SECONDS.labels(self._app_id).set(took)
        log.info("restored %d changelog records in %.2f s (%.0f/s)", records, took, records / took)
