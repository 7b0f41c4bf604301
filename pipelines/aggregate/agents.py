"""The glue between Faust and the arithmetic: what is read, written and acknowledged, and in which order."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from pipelines import dead_letters, telemetry
from pipelines.aggregate import merge
from pipelines.aggregate.fold import Bounds, Fold, Marker, Record, Rejected
from pipelines.aggregate.merge import Held, Merge, Window
from pipelines.aggregate.students import Student
from pipelines.settings import AggregateSettings
from pipelines.worker import TAKE_RECORDS, TAKE_WITHIN_S, Worker, by_partition, delivered
from wire import metrics, partials, topics

log = structlog.get_logger(__name__)

APP = "aggregate"
SLIDE_S = 1.0  # how often the passing of time is looked at; windows slide by 10 s


class Folding:
    """Agent of `activity`. A flush: partials, late and dead; then the students; then the marker; then the tombstones;
    then the ack."""

    def __init__(self, worker: Worker, settings: AggregateSettings) -> None:
        self._worker = worker
        self._bounds = Bounds(settings.lateness_s * 1000, settings.clock_skew_s * 1000)
        self._folds: dict[int, Fold] = {}
        self._partials = worker.topic(topics.PARTIALS)
        self._late = worker.topic(topics.LATE)
        self._dead = worker.topic(topics.DEAD_LETTERS)
        self._students = worker.table("students", Student)
        self._markers = worker.table("partitions", Marker)

    def forget(self, partitions: Iterable[int]) -> None:
        """Another worker has them now; here they are restored anew when they come back."""
        for partition in partitions:
            self._folds.pop(partition, None)

    async def run(self, stream: Any) -> None:
        async for events in stream.take_events(TAKE_RECORDS, within=TAKE_WITHIN_S):
            with self._worker.batch(topics.ACTIVITY, len(events)):
                await asyncio.gather(*(self._flush(*held) for held in by_partition(self._worker, events).items()))

    async def _flush(self, partition: int, messages: list[Any]) -> None:
        fold = self._folds.get(partition) or self._restore(partition)
        if 0 <= fold.marker.offset < messages[0].offset - 1:
            # Nothing of ours leaves holes in this topic: its records were deleted unread, or the transport lost them.
            skipped = messages[0].offset - 1 - fold.marker.offset
            telemetry.SKIPPED.inc(skipped)
            log.error("offsets never read", partition=partition, behind=fold.marker.offset, number=skipped)
        batch = fold.fold(Record(m.offset, int(m.timestamp * 1000), m.key, m.value) for m in messages)
        for verdict, number in zip(
            ("folded", "duplicate", "late", "dead"),
            (batch.folded, batch.duplicate, len(batch.late), len(batch.dead)),
            strict=True,
        ):
            telemetry.VERDICTS.labels(verdict).inc(number)
        telemetry.IDS_FORGOTTEN.inc(batch.forgotten)
        by_offset = {message.offset: message for message in messages}
        sends = [self._partials.send(key=p.scope.encode(), value=partials.encode(p)) for p in fold.partials()]
        sends += [self._late.send(key=record.key, value=record.value) for record in batch.late]
        sends += [self._bury(by_offset[rejected.record.offset], rejected) for rejected in batch.dead]
        await delivered(sends)
        changes = fold.changes()
        await self._students.write(partition, {id_.encode(): of for id_, of in changes.items() if of is not None})
        await self._markers.write(partition, {str(partition).encode(): fold.marker})
        # Before the marker, what is behind it would be judged again by a state that lacks these students.
        await self._students.write(partition, {id_.encode(): None for id_, of in changes.items() if of is None})

    def _bury(self, message: Any, rejected: Rejected) -> Any:
        return dead_letters.send(APP, self._dead, dead_letters.dead_letter(message, rejected.reason, rejected.detail))

    def _restore(self, partition: int) -> Fold:
        marker = next((marker for _, marker in self._markers.items() if marker.partition == partition), None)
        held = {key.decode(): student for key, student in self._students.items() if student.partition == partition}
        log.info("partition restored", partition=partition, students=len(held), offset=marker and marker.offset)
        fold = self._folds[partition] = Fold.restore(marker or Marker(partition), self._bounds, held)
        return fold


class Merging:
    """Agent of `partials`. A flush: how far time has come; metrics; then the windows; then the ack."""

    def __init__(self, worker: Worker, settings: AggregateSettings) -> None:
        self._worker = worker
        self._lateness_ms = settings.lateness_s * 1000
        self._merges: dict[int, Merge] = {}
        self._metrics = worker.topic(topics.METRICS)
        self._dead = worker.topic(topics.DEAD_LETTERS)
        self._windows = worker.table("windows", Held)
        self._lock = asyncio.Lock()  # what was computed first is sent first

    def forget(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self._merges.pop(partition, None)

    async def run(self, stream: Any) -> None:
        async for events in stream.take_events(TAKE_RECORDS, within=TAKE_WITHIN_S):
            with self._worker.batch(topics.PARTIALS, len(events)):
                wall_ms = int(time.time() * 1000)
                for partition, messages in by_partition(self._worker, events).items():
                    held = self._merges.get(partition) or self._restore(partition, wall_ms)
                    for message in messages:
                        if partial := await self._read(message):
                            held.apply(partial, wall_ms)
                await self._flush(wall_ms)

    async def _read(self, message: Any) -> partials.Partial | None:
        try:
            return partials.decode(message.value or b"")
        except dead_letters.UNREADABLE as error:
            letter = dead_letters.dead_letter(message, dead_letters.judge(error), str(error))
            await delivered([dead_letters.send(APP, self._dead, letter)])
            return None

    async def slide(self) -> None:
        """Tells what the passing of time has changed. Called every SLIDE_S."""
        if self._worker.pulse.not_ready():
            return
        with self._worker.batch(topics.PARTIALS, 0):
            wall_ms = int(time.time() * 1000)
            for partition in self._worker.partitions(topics.PARTIALS):
                if partition not in self._merges:  # after a restart in an empty room nothing else would
                    self._restore(partition, wall_ms)
            await self._flush(wall_ms)

    async def _flush(self, wall_ms: int) -> None:
        async with self._lock:
            updates = []
            for partition, held in list(self._merges.items()):
                if told := held.updates(wall_ms):
                    await self._write(partition, held.clock())
                    updates += told
            await delivered([self._metrics.send(key=u.scope.encode(), value=metrics.encode(u)) for u in updates])
            for partition, held in list(self._merges.items()):
                await self._write(partition, held.changes(wall_ms))

    async def _write(self, partition: int, changes: Mapping[Window, Held | None]) -> None:
        await self._windows.write(partition, {merge.encode_key(key): of for key, of in changes.items()})

    def _restore(self, partition: int, wall_ms: int) -> Merge:
        stored = {merge.decode_key(key): held for key, held in self._windows.items() if held.home == partition}
        log.info("partition restored", partition=partition, windows=len(stored))
        held = self._merges[partition] = Merge.restore(partition, self._lateness_ms, stored, wall_ms)
        return held


def partitions_by_topic(tps: Iterable[Any]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = defaultdict(list)
    for tp in tps:
        out[tp.topic].append(tp.partition)
    return out
