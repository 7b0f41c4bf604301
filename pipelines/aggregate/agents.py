"""The glue between batches and the arithmetic: what is read, told and committed. docs/exactness.md has the why.

The publisher collects what is to be told: partials, late and dead records, metrics. Before a commit all of it has been
acknowledged, and what has changed goes to the tables, which are committed with the offsets, all or nothing.
"""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Any

import msgspec
import structlog

from batching import Batch, bisect
from pipelines import dead_letters, telemetry
from pipelines.aggregate import merge
from pipelines.aggregate.fold import Batch as Taken
from pipelines.aggregate.fold import Bounds, Fold, Marker, Read, Rejected
from pipelines.aggregate.merge import Held, Merge
from pipelines.aggregate.students import Student
from pipelines.aggregate.windows import pane_of
from pipelines.outlet import Outgoing, Outlet
from pipelines.publisher import Publisher
from pipelines.records import Record
from pipelines.settings import AggregateSettings
from pipelines.worker import App, Worker
from wire import metrics, partials, topics
from wire.dead_letters import DeadLetter, Reason
from wire.partials import Partial

log = structlog.get_logger(__name__)

APP = "aggregate"
OUTGOING_MAX = 10_000  # late and dead records of a partition that wait to be told; with more its agent waits too


class Folding:
    """Agent of `activity`."""

    def __init__(self, worker: Worker[App], settings: AggregateSettings, outlet: Outlet) -> None:
        self.dirty: set[int] = set()
        self._worker = worker
        self.publisher = Publisher(outlet, self)
        self._bounds = Bounds(settings.lateness_s * 1000, settings.clock_skew_s * 1000)
        self._folds: dict[int, Fold] = {}
        self._outgoing: dict[int, list[Outgoing]] = defaultdict(list)
        table = worker.app.write_behind_table
        self._students = table("students", source=topics.ACTIVITY, key_type=str, **msgpack(Student))
        self._markers = table("partitions", source=topics.ACTIVITY, key_type=str, **msgpack(Marker))

    def restore(self, partition: int) -> None:
        marker = self._markers.partition(partition).get(str(partition)) or Marker(partition)
        held = self._students.partition(partition).data
        log.info("partition restored", partition=partition, students=len(held), offset=marker.offset)
        self._folds[partition] = Fold.restore(marker, self._bounds, held)

    def forget(self, partition: int) -> None:
        self._folds.pop(partition, None)
        self._outgoing.pop(partition, None)
        self.dirty.discard(partition)

    async def run(self, batches: AsyncIterator[Batch]) -> None:
        async for batch in batches:
            with self._worker.batch(topics.ACTIVITY, len(batch.records)):
                await self._fold(batch)
                self.publisher.wake()
                if len(self._outgoing[batch.partition]) > OUTGOING_MAX:
                    await self.publisher.told(batch.partition)

    async def _fold(self, batch: Batch) -> None:
        fold = self._folds[batch.partition]
        read: list[Read] = []

        def bury(record: Record, error: Exception) -> None:
            read.append((record, Rejected(record, Reason.FAILED, repr(error))))

        await bisect(batch, lambda records: read.extend(fold.read(records)), bury)
        account_for_skipped(batch.partition, fold.marker, batch.records[0].offset)
        taken = fold.take(read)
        account_for(taken)
        self._outgoing[batch.partition] += [Outgoing(topics.LATE, late.key, late.value) for late in taken.late]
        self._outgoing[batch.partition] += [
            letter_record(dead_letters.dead_letter(topics.ACTIVITY, batch.partition, *rejected))
            for rejected in taken.dead
        ]
        self.dirty.add(batch.partition)

    def collect(self, partition: int) -> Iterable[Outgoing]:
        self.dirty.discard(partition)
        yield from self._outgoing.pop(partition, ())
        if fold := self._folds.get(partition):
            for partial in fold.partials():
                yield Outgoing(topics.PARTIALS, partial.scope.encode(), partials.encode(partial))

    def store(self, partition: int) -> None:
        """Everything of it has been told."""
        fold, students = self._folds[partition], self._students.partition(partition)
        for id_, student in fold.changes().items():
            if student is None:
                students.pop(id_, None)
            else:
                students[id_] = student
        self._markers.partition(partition)[str(partition)] = fold.marker


class Merging:
    """Agent of `partials`.

    Told time is carried on by the wall clock only as far as a commit has said before: told further, it would go back
    after a kill. So in a quiet room values fall up to two commits late.
    """

    def __init__(
        self,
        worker: Worker[App],
        settings: AggregateSettings,
        outlet: Outlet,
        wall_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._worker = worker
        self.publisher = Publisher(outlet, self)
        self._wall_ms = wall_ms
        self._lateness_ms = settings.lateness_s * 1000
        self._merges: dict[int, Merge] = {}
        self._outgoing: dict[int, list[Outgoing]] = defaultdict(list)
        self._changed: set[int] = set()
        self._fresh: set[int] = set()  # restored, and nothing read or told since
        self._behind: dict[
            int, int
        ] = {}  # the state before this offset may have been told before: not told by the tick
        self._clock_ms: dict[int, int] = {}  # wall clock up to which time may be told
        self._next_clock_ms: dict[int, int] = {}  # the same when the flush under way is committed
        self._stored_pane: dict[int, int] = {}  # of the clock in the table
        self._windows = worker.app.write_behind_table("windows", source=topics.PARTIALS, **msgpack(Held))

    @property
    def dirty(self) -> Collection[int]:
        return self._changed - self._behind.keys()

    def restore(self, partition: int) -> None:
        wall_ms = self._wall_ms()
        stored = {merge.decode_key(key): held for key, held in self._windows.partition(partition).data.items()}
        log.info("partition restored", partition=partition, windows=len(stored))
        self._merges[partition] = Merge.restore(partition, self._lateness_ms, stored, wall_ms)
        self._clock_ms[partition] = wall_ms
        self._fresh.add(partition)

    def forget(self, partition: int) -> None:
        for of in (self._merges, self._outgoing, self._behind, self._clock_ms, self._next_clock_ms, self._stored_pane):
            of.pop(partition, None)
        self._changed.discard(partition)
        self._fresh.discard(partition)

    async def run(self, batches: AsyncIterator[Batch]) -> None:
        async for batch in batches:
            with self._worker.batch(topics.PARTIALS, len(batch.records)):
                await self._merge(batch)
                self.publisher.wake()

    async def _merge(self, batch: Batch) -> None:
        partition, wall_ms = batch.partition, self._wall_ms()
        read: list[Partial] = []

        def bury(record: Record, error: Exception) -> None:
            letter = dead_letters.dead_letter(
                topics.PARTIALS, partition, record, dead_letters.judge(error), str(error) or repr(error)
            )
            self._outgoing[partition].append(letter_record(letter))

        await bisect(batch, lambda records: read.extend([partials.decode(one.value or b"") for one in records]), bury)
        for partial in read:
            self._merges[partition].apply(partial, wall_ms)
        self._changed.add(partition)
        if partition in self._fresh:
            self._fresh.discard(partition)
            self._behind[partition] = self._worker.app.delivery.shards[partition].highwater[topics.PARTIALS]
        if batch.next_offset >= self._behind.get(partition, 0):
            self._behind.pop(partition, None)

    def collect(self, partition: int) -> Iterable[Outgoing]:
        self._changed.discard(partition)
        yield from self._outgoing.pop(partition, ())
        if held := self._merges.get(partition):
            for update in held.updates(self._clock_ms[partition]):
                yield Outgoing(topics.METRICS, update.scope.encode(), metrics.encode(update))

    def advance(self, partition: int) -> None:
        """Called before what is told before a commit: the commit before it is through."""
        self._behind.pop(partition, None)
        if partition in self._next_clock_ms:
            self._clock_ms[partition] = self._next_clock_ms.pop(partition)
            self._changed.add(partition)
        if partition in self._fresh:
            self._fresh.discard(partition)
            self._changed.add(partition)

    def store(self, partition: int) -> None:
        """Everything of it has been told."""
        held, table, wall_ms = self._merges[partition], self._windows.partition(partition), self._wall_ms()
        changes = held.changes(wall_ms)
        for window, clock in held.clock(wall_ms).items():
            if clock is not None and (pane := pane_of(clock.event_time_ms)) > self._stored_pane.get(partition, 0):
                changes[window] = clock
                self._stored_pane[partition] = pane
                self._next_clock_ms[partition] = wall_ms
        for window, of in changes.items():
            key = merge.encode_key(window)
            if of is None:
                table.pop(key, None)
            else:
                table[key] = of


def account_for_skipped(partition: int, marker: Marker, first_offset: int) -> None:
    if 0 <= marker.offset < first_offset - 1:
        # Nothing of ours leaves holes in this topic: its records were deleted unread, or the transport lost them.
        skipped = first_offset - 1 - marker.offset
        telemetry.SKIPPED.inc(skipped)
        log.error("offsets never read", partition=partition, behind=marker.offset, number=skipped)


def account_for(taken: Taken) -> None:
    numbers = (taken.folded, taken.duplicate, len(taken.late), len(taken.dead))
    for verdict, number in zip(("folded", "duplicate", "late", "dead"), numbers, strict=True):
        telemetry.VERDICTS.labels(verdict).inc(number)
    telemetry.IDS_FORGOTTEN.inc(taken.forgotten)


def letter_record(letter: DeadLetter) -> Outgoing:
    return Outgoing(topics.DEAD_LETTERS, letter.key, dead_letters.write(APP, letter))


def msgpack(of: type[Any]) -> dict[str, Any]:
    """How a table keeps structs of a type."""
    return {"encode": msgspec.msgpack.Encoder().encode, "decode": msgspec.msgpack.Decoder(of).decode}
