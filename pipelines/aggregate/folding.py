"""The agent of `activity`."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import ClassVar

import structlog

from batching import Batch, bisect
from pipelines import dead_letters, telemetry
from pipelines.aggregate.agents import NEW_MAX, Telling, letter_record, msgpack, now_ms, update_record
from pipelines.aggregate.fold import Batch as Taken
from pipelines.aggregate.fold import Bounds
from pipelines.aggregate.folded import FoldedPartition
from pipelines.aggregate.marker import Marker, SeenIds
from pipelines.aggregate.reading import Read, Rejected
from pipelines.aggregate.students import Student
from pipelines.outlet import EVERYWHERE, Outgoing, Outlet
from pipelines.pace import Busy, gap_s
from pipelines.publisher import LONGEST_S
from pipelines.records import Record
from pipelines.settings import AggregateSettings
from pipelines.tracing import Following
from pipelines.worker import App, Worker
from traces.context import Context
from wire import audit, partials, topics
from wire.audit import Judged
from wire.dead_letters import Reason
from wire.partials import Progress, Said
from wire.scopes import Scope

log = structlog.get_logger(__name__)

SHARE = 0.05  # of the time, for telling students' values and partials
COSTLY_S = 0.005  # to tell all of one partition
ALL_AGAIN_MS = 500  # where it costs; where many partitions do, each rests for the others, too


class Folding(Telling):
    """Tells partials of scopes, how far it is, and all of the students themselves."""

    name: ClassVar[str] = "fold"

    def __init__(
        self,
        worker: Worker[App],
        settings: AggregateSettings,
        outlet: Outlet,
        wall_ms: Callable[[], int] = now_ms,
        costly_s: float = COSTLY_S,
    ) -> None:
        super().__init__(worker, topics.ACTIVITY, outlet, SHARE, wall_ms)
        self._costly_s = costly_s
        self._bounds = bounds(settings)
        self._grace_ms = settings.grace_s * 1000
        self._folded: dict[int, FoldedPartition] = {}
        self._all_again_ms: dict[int, int] = {}  # wall clock, where telling all of it costs
        self._rested_ms = 0.0  # wall clock: before it no other of these is told
        self._busy = Busy()
        self._committing: set[int] = set()  # all of it is to be told, whatever that costs
        table = worker.app.write_behind_table
        self._students = table("students", source=topics.ACTIVITY, key_type=str, **msgpack(Student))
        self._ids = table("ids", source=topics.ACTIVITY, key_type=str, **msgpack(SeenIds))
        self._markers = table("partitions", source=topics.ACTIVITY, key_type=str, **msgpack(Marker))

    def restore(self, partition: int) -> None:
        marker = self._markers.partition(partition).taken().get(str(partition)) or Marker(partition)
        held, seen = self._students.partition(partition).taken(), self._ids.partition(partition).taken()
        log.info("partition restored", partition=partition, students=len(held), offset=marker.offset)
        self._folded[partition] = FoldedPartition(marker, self._bounds, self._grace_ms, held, seen, self._wall_ms())
        self._due.restored(partition)

    def forget(self, partition: int) -> None:
        super().forget(partition)
        self._folded.pop(partition, None)
        self._all_again_ms.pop(partition, None)
        self._committing.discard(partition)

    @property
    def dirty(self) -> Collection[int]:
        """First who has waited longest."""
        return sorted(self._due.ready, key=lambda partition: self._all_again_ms.get(partition, 0))

    async def _take(self, batch: Batch) -> int:
        partition, folded = batch.partition, self._folded[batch.partition]
        following = self._worker.follow(self.topic, partition, batch.records)
        read: list[Read] = []

        def bury(record: Record, error: Exception) -> None:
            read.append((record, Rejected(record, Reason.FAILED, repr(error))))

        await bisect(batch, lambda records: read.extend(folded.fold.read(records)), bury)
        account_for_skipped(partition, folded.fold.marker, batch.records[0].offset)
        taken = folded.take(read)
        account_for(taken)
        self._outgoing[partition] += [Outgoing(topics.LATE, late.key, late.value) for late in taken.late]
        self._outgoing[partition] += [
            letter_record(dead_letters.dead_letter(topics.ACTIVITY, partition, *rejected)) for rejected in taken.dead
        ]
        folded.read(self._wall_ms(), taken, len(read))
        if following:
            for scope, what in changed(following, read, taken):
                self._trails[partition].add(scope, what)
            following.end()
        return folded.fold.new_minutes

    def _collect(self, partition: int) -> Iterable[Outgoing]:
        """All of it, where that is cheap, or was last done a while ago and no other partition has just cost as much, or
        a commit waits for it. Else only what would be missed most: who changes all the time is told of every
        ALL_AGAIN_MS, who changed once, at once."""
        folded, wall_ms = self._folded.get(partition), self._wall_ms()
        if folded is None:
            return
        again_ms = self._all_again_ms.get(partition, 0)
        soon = again_ms and wall_ms < max(again_ms, self._rested_ms) and folded.fold.new_minutes <= NEW_MAX
        if soon and partition not in self._committing:
            yield from map(update_record, folded.of_rare_students())
            return
        began = time.perf_counter()
        yield from map(partial_record, folded.to_merge())
        if partition in self._committing:
            yield from map(judged_record, folded.judged())
        yield from map(update_record, folded.of_students())
        took_s = time.perf_counter() - began
        costly = took_s > self._costly_s
        self._all_again_ms[partition] = wall_ms + ALL_AGAIN_MS if costly else 0
        if costly:
            rest_s = gap_s(took_s, SHARE, self._busy.share(), 0, LONGEST_S)
            self._rested_ms = max(self._rested_ms, wall_ms + 1000 * rest_s)
            self.publisher.paced(took_s)
        self._committing.discard(partition)
        self._trails[partition].clear()

    def advance(self, partition: int) -> None:
        self._due.committing(partition)
        self._committing.add(partition)
        if self._folded[partition].fold.is_changed:
            self._due.changed(partition)
        unread = self._shard(partition).lag(topics.ACTIVITY) > 0
        if self._folded[partition].look(self._wall_ms(), unread):
            self._due.changed(partition)

    def store(self, partition: int) -> None:
        folded = self._folded[partition]
        changed, seen = folded.changes()
        self._students.partition(partition).put(changed)
        self._ids.partition(partition).put(seen)
        if folded.promise(self._wall_ms()):
            self._markers.partition(partition).put({str(partition): folded.fold.marker})


def changed(following: Following, read: Iterable[Read], taken: Taken) -> Iterator[tuple[bytes, Context]]:
    """The scopes whose numbers a traced event may have changed, and by what."""
    nothing = {*taken.again, *(late.offset for late in taken.late), *(dead.record.offset for dead in taken.dead)}
    events = {record.offset: event for record, event in read}
    for span, records in following.followed:
        for record in records:
            event = events.get(record.offset)
            if event is None or isinstance(event, Rejected) or record.offset in nothing:
                continue
            scopes = [Scope.school(), Scope.course(event.course_id), Scope.student(event.student_id)]
            if event.team_id is not None:
                scopes.append(Scope.team(event.course_id, event.team_id))
            yield from ((str(scope).encode(), span.context) for scope in scopes)


def account_for_skipped(partition: int, marker: Marker, first_offset: int) -> None:
    if 0 <= marker.offset < first_offset - 1:
        # Nothing of ours leaves holes in this topic: its records were deleted unread, or the transport lost them.
        skipped = first_offset - 1 - marker.offset
        telemetry.SKIPPED.inc(skipped)
        log.error("offsets never read", partition=partition, behind=marker.offset, number=skipped)


def account_for(taken: Taken) -> None:
    numbers = (taken.folded, len(taken.again), len(taken.late), len(taken.dead))
    for verdict, number in zip(("folded", "duplicate", "late", "dead"), numbers, strict=True):
        telemetry.VERDICTS.labels(verdict).inc(number)
    telemetry.IDS_FORGOTTEN.inc(taken.forgotten)


def partial_record(said: Said) -> Outgoing:
    if isinstance(said, Progress):
        return Outgoing(topics.PARTIALS, None, partials.encode(said), partition=EVERYWHERE)
    return Outgoing(topics.PARTIALS, said.scope.encode(), partials.encode(said))


def judged_record(judged: Judged) -> Outgoing:
    return Outgoing(topics.AUDIT, None, audit.encode(judged), partition=judged.partition)


def bounds(settings: AggregateSettings) -> Bounds:
    return Bounds(settings.lateness_s * 1000, settings.clock_skew_s * 1000, settings.dedupe_ids_max)
