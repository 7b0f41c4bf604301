"""Fetched record batches to records, in two ways that pass one contract suite (tests/contracts/test_unpackers.py).

Portable asks aiokafka's public `getmany` and gets ConsumerRecord objects. Lean takes the fetcher's buffered results
apart itself and hands on the records of each record batch as they were decoded in C, some three times as fast. Both
leave out control records and, with `read_committed`, the records of aborted transactions.

Lean relies on these private parts of aiokafka 0.14 (consumer/fetcher.py): Fetcher._records, _subscriptions, _closed,
_create_fetch_waiter, _notify, _wait_consume_future; FetchResult.check_assignment, has_more, _update_position,
_partition_records; PartitionRecords._records, _records_iterator, _check_crcs, _isolation_level, _consume_aborted_up_to,
_contains_abort_marker, _aborted_producers, next_fetch_offset. Both read a partition's position and highwater from
`consumer._subscription`, because the public calls wait.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import aiokafka
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher as internals
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, UnsupportedCodecError
from faust.types import TP

from batching.records import Chunk, Record

log = logging.getLogger(__name__)

LEAN_KNOWS = "0.14."


class Unpacker(Protocol):
    async def fetch(self, consumer: Any, wanted: Collection[TP], timeout_s: float, limit: int) -> list[Chunk]:
        """What has arrived of the wanted partitions (not empty), at least one chunk or after the timeout none. About
        `limit` records a partition. Runs in the consumer's loop, one call at a time. Raises aiokafka's errors.
        Not to be cancelled: what was taken is gone."""
        ...


class Portable:
    async def fetch(self, consumer: Any, wanted: Collection[TP], timeout_s: float, limit: int) -> list[Chunk]:
        before = {tp: _state(consumer, tp) for tp in wanted}
        starts = {tp: state.position for tp, state in before.items() if state is not None and state.has_valid_position}
        try:
            fetched = await consumer.getmany(
                *(TopicPartition(*tp) for tp in wanted), timeout_ms=int(timeout_s * 1000), max_records=limit
            )
        except UnsupportedCodecError as error:
            _explain(error, "a wanted partition")
            raise
        chunks = []
        for tp in wanted:
            state = _state(consumer, tp)
            if state is None or not state.has_valid_position:
                continue
            records = fetched.get(tp, ())
            if records or state.position != starts.get(tp):  # control records alone move it too
                chunks.append(_chunk(tp, records, state))
        return chunks


class Lean:
    async def fetch(self, consumer: Any, wanted: Collection[TP], timeout_s: float, limit: int) -> list[Chunk]:
        fetcher = consumer._fetcher
        deadline = time.monotonic() + timeout_s
        with fetcher._subscriptions.fetch_context():
            while True:
                if consumer._closed or fetcher._closed:
                    raise ConsumerStoppedError
                if consumer._coordinator is not None:
                    consumer._coordinator.check_errors()
                if fetcher._subscriptions.reassignment_in_progress:
                    await fetcher._subscriptions.wait_for_assignment()
                chunks = self._drain(consumer, fetcher, wanted, limit)
                left = deadline - time.monotonic()
                if chunks or left <= 0:
                    return chunks
                waiter = fetcher._create_fetch_waiter()
                await asyncio.wait([waiter], timeout=left)
                if waiter.done():
                    waiter.result()  # raises what the coordinator has to say
                else:
                    waiter.cancel()

    def _drain(self, consumer: Any, fetcher: Any, wanted: Collection[TP], limit: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        for tp in list(fetcher._records):
            if tp not in wanted:
                if not fetcher._subscriptions.is_assigned(tp):
                    del fetcher._records[tp]
                continue
            result = fetcher._records[tp]
            if type(result) is not internals.FetchResult:
                if chunks:
                    break  # the error is told at the next call
                self._through(fetcher, tp)
                result.check_raise()
                continue
            try:
                taken = self._take(result, tp, limit)
            except Exception as error:
                self._through(fetcher, tp)  # half taken: it will be fetched again from its position
                if chunks:
                    break
                _explain(error, tp)
                raise
            if not result.has_more():
                self._through(fetcher, tp)
            state = _state(consumer, tp)
            if taken is not None and state is not None:
                chunks.append(_chunk(TP(tp.topic, tp.partition), taken, state))
        return chunks

    @staticmethod
    def _through(fetcher: Any, tp: Any) -> None:
        """The fetcher may ask for more of it."""
        del fetcher._records[tp]
        fetcher._notify(fetcher._wait_consume_future)

    @staticmethod
    def _take(result: Any, tp: Any, limit: int) -> list[Record] | None:
        """The records of whole record batches until there are `limit`; None where the result is out of date."""
        if not result.has_more():
            return None
        part = result._partition_records
        # It refers to `part`, which would live with its whole fetch until the garbage collector comes by.
        part._records_iterator = None
        if not result.check_assignment(tp):
            return None
        batches = part._records
        committed_only = part._isolation_level == internals.READ_COMMITTED
        position = part.next_fetch_offset
        records: list[Record] = []
        while len(records) < limit and batches.has_next():
            batch = batches.next_batch()
            if part._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"a record batch of {tp} after offset {position} fails its checksum")
            keep = not batch.is_control_batch
            if committed_only and batch.producer_id is not None:
                part._consume_aborted_up_to(batch.base_offset)
                if batch.is_control_batch:
                    if part._contains_abort_marker(batch):
                        part._aborted_producers.discard(batch.producer_id)
                elif batch.is_transactional and batch.producer_id in part._aborted_producers:
                    keep = False
            if keep:
                # The first one may begin before the position: the broker stores and sends whole batches.
                records.extend(batch if batch.base_offset >= position else (r for r in batch if r.offset >= position))
            position = batch.next_offset
        part.next_fetch_offset = position
        result._update_position()
        if not batches.has_next():
            result._partition_records = None
        return records


def choose(wanted: str) -> Unpacker:
    """The lean one only with an aiokafka that has the shape it knows; else the portable one, with a warning."""
    if wanted == "portable":
        return Portable()
    if wanted != "lean":
        raise ValueError(f"unknown unpacker {wanted!r}: lean or portable")
    if problem := _misfit():
        log.warning("records are unpacked the portable, slower way: %s", problem)
        return Portable()
    return Lean()


def _misfit() -> str:
    if not aiokafka.__version__.startswith(LEAN_KNOWS):
        return f"the lean way knows aiokafka {LEAN_KNOWS}x, this is {aiokafka.__version__}"
    shape = {
        "Fetcher": ("_create_fetch_waiter", "_notify"),
        "FetchResult": ("check_assignment", "has_more", "_update_position"),
        "PartitionRecords": ("_consume_aborted_up_to", "_contains_abort_marker"),
    }
    for name, parts in shape.items():
        if missing := [part for part in parts if not hasattr(getattr(internals, name, None), part)]:
            return f"aiokafka's {name} has no {', '.join(missing)}"
    return ""


def _explain(error: Exception, where: object) -> None:
    """Adds to its traceback what there is to do."""
    if isinstance(error, UnsupportedCodecError):
        error.add_note(f"{where} is compressed: aiokafka reads snappy, lz4 and zstd where cramjam is installed")


def _state(consumer: Any, tp: Any) -> Any:
    """The partition's state within the consumer's assignment; None where it is not assigned."""
    subscription = consumer._subscription.subscription
    assignment = subscription and subscription.assignment
    if not assignment or tp not in assignment.tps:
        return None
    return assignment.state_value(tp)


def _chunk(tp: TP, records: Sequence[Record], state: Any) -> Chunk:
    return Chunk(tp, records, state.position, -1 if state.highwater is None else state.highwater)
