"""The transactional producer of one shard: everything of a flush, and the offsets that go with it, or nothing.

Its transactional id is `<app>-<n>`, so whoever starts one for the n-th partitions fences every earlier one: what a
process writes that has lost them, dead or asleep, never becomes visible.

Relies on Faust's Producer._settings_default and _settings_auth (transport/drivers/aiokafka.py), and on aiokafka's
BatchBuilder futures giving the offset of the batch's first record.
"""

import asyncio
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from batching.starting import started

_YIELD_RECORDS = 500  # encoded between two turns of the loop

Batches = list[tuple[str, Any]]  # of changelog and filled batch builder


class Writer:
    def __init__(self, app: Any, number: int) -> None:
        producer = app.producer
        settings = {
            **producer._settings_default(),
            **producer._settings_auth(),
            "acks": "all",
            "linger_ms": 0,
            "max_batch_size": app.limits.changelog_batch_bytes,
        }
        self.transactional_id = f"{app.conf.id}-{number}"
        self._number = number
        self._group = app.conf.id
        self._new_producer = partial(
            AIOKafkaProducer,
            **settings,
            transactional_id=self.transactional_id,
            transaction_timeout_ms=int(app.limits.flush_timeout_s * 2000),
        )
        self._producer: Any = None  # until it has started

    async def start(self) -> None:
        """Fences the earlier owners; returns when no transaction of theirs is under way."""
        self._producer = await started(self._new_producer)

    async def stop(self) -> None:
        if self._producer is None:
            return
        try:
            await asyncio.wait_for(self._producer.stop(), 5)
        except (KafkaError, TimeoutError):
            return  # of one that has failed; its connections are closed with the process at the latest

    async def fill(self, changelog: str, changes: Iterable[tuple[bytes, bytes | None]]) -> Batches:
        """Lets the loop turn in between: the caller sees to it that nothing changes meanwhile."""
        now = int(time.time() * 1000)
        batches: Batches = []
        batch = None
        for count, (key, value) in enumerate(changes):
            if batch is None or batch.append(timestamp=now, key=key, value=value) is None:
                batch = self._producer.create_batch()
                batch.append(timestamp=now, key=key, value=value)  # its first one it takes whatever the size
                batches.append((changelog, batch))
            if count % _YIELD_RECORDS == _YIELD_RECORDS - 1:
                await asyncio.sleep(0)
        return batches

    async def commit(self, batches: Batches, position: dict[str, int]) -> dict[str, int | None]:
        """The ends of the changelogs afterwards, None where the broker did not say. Raises ProducerFenced where
        somebody else has taken over, else KafkaError; then nothing of it counts, or the process cannot know."""
        await self._producer.begin_transaction()
        sent = []
        for changelog, batch in batches:
            batch.close()
            future = await self._producer.send_batch(batch, changelog, partition=self._number)
            sent.append((changelog, batch.record_count(), future))
        offsets = {
            TopicPartition(topic, self._number): OffsetAndMetadata(offset, "") for topic, offset in position.items()
        }
        waiting = [future for _, _, future in sent]
        try:
            results = await asyncio.gather(*waiting)
            await self._producer.send_offsets_to_transaction(offsets, self._group)
            await self._producer.commit_transaction()
        except KafkaError as error:
            told = await asyncio.gather(*waiting, return_exceptions=True)
            if refused := [changelog for (changelog, _, _), of in zip(sent, told, strict=True) if of is error]:
                error.add_note(f"of {', '.join(refused)}, partition {self._number}")
            if _fenced(error):
                raise ProducerFenced from error
            raise
        ends: dict[str, int | None] = {}
        for (changelog, count, _), told in zip(sent, results, strict=True):
            ends[changelog] = told.offset + count + 1 if told.offset >= 0 else None  # the commit takes one more
        return ends


def _fenced(error: BaseException | None) -> bool:
    """Also where aiokafka has wrapped what its sender task died of."""
    while error is not None and not isinstance(error, ProducerFenced):
        error = error.__cause__
    return error is not None
