"""One partition of `activity` at work, on either transport: its fold, and what it tells. The clock is an argument."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from pipelines.aggregate.clock import IDLE_MS
from pipelines.aggregate.fold import Batch, Bounds, Fold
from pipelines.aggregate.judging import Judging
from pipelines.aggregate.marker import Marker, SeenIds
from pipelines.aggregate.reading import Read
from pipelines.aggregate.student_values import StudentValues
from pipelines.aggregate.students import Student
from wire.audit import Judged
from wire.metrics import ScopeUpdate
from wire.partials import Partial, Progress
from wire.probe import Echo


class FoldedPartition:
    def __init__(
        self,
        marker: Marker,
        bounds: Bounds,
        grace_ms: int,
        students: Mapping[str, Student],
        seen: Mapping[str, SeenIds],
        wall_ms: int,
    ) -> None:
        """From the changelogs: a new marker where there is none, its students by id, its event ids by key."""
        self.fold = Fold.restore(marker, bounds, students, seen)
        self._values = StudentValues.restore(marker.partition, grace_ms, marker.time, self.fold.learners, wall_ms)
        self._judging = Judging(marker)
        self._read_at_ms = wall_ms
        self._idle = False
        self._told: Progress | None = None
        self._written_offset = marker.offset

    def take(self, read: Sequence[Read]) -> Batch:
        """See `Fold.take`."""
        self._judging.begins(read[0][0].offset)
        batch = self.fold.take(read)
        self._judging.took(batch, read[-1][0].timestamp)
        return batch

    def read(self, wall_ms: int, batch: Batch, records: int) -> None:
        """A batch of so many records has been folded. Probes alone wake nobody: time goes on as if nothing had come."""
        if batch.probes < records:
            self._read_at_ms = wall_ms
            self._idle = False
        self._progress(wall_ms)

    def look(self, wall_ms: int, unread: bool) -> bool:
        """True where time alone has made something to tell: what was promised is committed, or nothing has come for a
        while, though nothing is `unread`."""
        moved = self._values.time.advance()
        if self._idle or unread or wall_ms - self._read_at_ms <= IDLE_MS:
            return moved
        self._idle = True
        self._progress(wall_ms)
        return True

    def _progress(self, wall_ms: int) -> None:
        marker = self.fold.marker
        self._values.time.progress(marker.partition, marker.offset, marker.event_time_ms, self._idle, wall_ms)

    def to_merge(self) -> Iterator[Partial | Progress | Echo]:
        """The scopes that changed; behind them how far it is, where that is news: who hears of it has heard them."""
        marker = self.fold.marker
        progress = Progress(
            partition=marker.partition, offset=marker.offset, event_time_ms=marker.event_time_ms, idle=self._idle
        )
        news = [] if progress == self._told else [progress]
        self._told = progress
        return chain(self.fold.partials(), self.fold.echoes(), news)

    def of_students(self) -> Iterator[ScopeUpdate]:
        """The values of the students that changed, and of those whose values time has changed. After `to_merge`;
        to be read to its end."""
        return self._values.updates(self.fold.changed())

    def of_rare_students(self) -> Iterator[ScopeUpdate]:
        """Of the students that changed those who had not when all was told last. All are told of later."""
        return self._values.of_some(self.fold.stand_anew(self._values.telling))

    def judged(self) -> list[Judged]:
        """What became of the offsets read since the last call. After `to_merge`."""
        return self._judging.told(self.fold.adrift)

    def changes(self) -> tuple[dict[str, Student | None], dict[str, SeenIds | None]]:
        """What is to be written of students and event ids, when all has been told."""
        return self.fold.changes(self._values.time.clock.closed_ms), self.fold.seen_ids()

    def promise(self, wall_ms: int) -> bool:
        """True where the marker says anything new, and is to be written."""
        marker = self.fold.marker
        kept = self._values.time.promise(wall_ms, self._values.told)
        marker.time = kept or marker.time
        news = kept is not None or marker.offset != self._written_offset
        self._written_offset = marker.offset
        return news
