"""The aggregate's own arithmetic, of all partitions in one process. Pure.

Its clock is the records' own: all partitions are taken as far as the same record time, and that stands for the wall
clock. So a partition is idle, told time carried on and a window closed as when the records came in, and nothing depends
on how fast they are read now.
"""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.aggregate.clock import Clock
from pipelines.aggregate.fold import Bounds, Fold
from pipelines.aggregate.folded import FoldedPartition
from pipelines.aggregate.marker import Marker
from pipelines.aggregate.merge import Merge
from pipelines.aggregate.reading import Read, Rejected
from pipelines.aggregate.windows import DAY_MS, LONGEST_WINDOW_MS
from pipelines.rebuild.difference import MERGE
from pipelines.records import Record
from wire import partials, probe
from wire.dead_letters import Reason
from wire.metrics import ScopeUpdate
from wire.probe import Echo

Told = tuple[int, list[ScopeUpdate]]  # teller, updates


def warm_up_ms(bounds: Bounds) -> int:
    """How much record time before a window must have been read for each of its events to be judged as it was: the
    courses and teams of a student's last two days, and the panes, ids and event time before. An event lies in no record
    that is older than it by more than the skew."""
    return 2 * DAY_MS + LONGEST_WINDOW_MS + bounds.lateness_ms + bounds.skew_ms


@dataclass
class Verdicts:
    """Events, as fold has judged them."""

    folded: int = 0
    duplicate: int = 0
    late: int = 0
    dead: int = 0


class Recount:
    def __init__(self, partitions: Collection[int], bounds: Bounds, grace_ms: int, since_ms: int) -> None:
        """`since_ms`: record time from which on records are folded."""
        self.verdicts = Verdicts()
        self._folded = {
            partition: FoldedPartition(Marker(partition), bounds, grace_ms, {}, {}, since_ms)
            for partition in partitions
        }
        self._lateness_ms = bounds.lateness_ms
        self._merge = Merge(0, partitions, bounds.lateness_ms, grace_ms)
        self._read_ms = dict.fromkeys(partitions, since_ms)  # record time of the last one

    @property
    def clock(self) -> Clock:
        """Of teams, courses and the school."""
        return self._merge.time.clock

    @property
    def seen_ms(self) -> dict[int, int]:
        """By teller, the newest event's time; 0: there is none."""
        of = {partition: folded.fold.marker.event_time_ms for partition, folded in self._folded.items()}
        return of | {MERGE: max(of.values())}

    def fold(self, partition: int, records: Sequence[Record]) -> None:
        """What it changes is told by `tell`."""
        if not records:
            return
        folded = self._folded[partition]
        taken = folded.fold.take(_read(folded.fold, records))
        self.verdicts.folded += taken.folded
        self.verdicts.duplicate += len(taken.again)
        self.verdicts.late += len(taken.late)
        self.verdicts.dead += len(taken.dead)
        self._read_ms[partition] = records[-1].timestamp
        folded.read(self._read_ms[partition], taken, len(records))

    def warm_up(self, now_ms: int) -> None:
        """Instead of `tell`, where nothing is to be told of what has been folded yet."""
        for folded in self._folded.values():
            folded.look(now_ms, unread=False)
            folded.fold.partials(), folded.fold.changed(), folded.changes()
            folded.promise(now_ms)

    def tell(self, now_ms: int, coming: Mapping[int, Record | None]) -> Iterator[Told]:
        """What has changed, and a commit; to be read to its end. `now_ms`: record time, up to which all partitions have
        been folded. `coming`: those of which there is more, with the next record where it is known."""
        for partition, folded in self._folded.items():
            folded.look(now_ms, unread=False)
            for said in folded.to_merge():
                if isinstance(said, Echo):  # in no store there is anything of it
                    continue
                # A copy, as through Kafka: fold goes on counting in what it has said.
                self._merge.apply(partials.decode(partials.encode(said)), self._read_ms[partition])
            yield partition, list(folded.of_students())
            folded.changes()
            folded.promise(now_ms)
        self._merge.time.advance()
        yield MERGE, self._merge.updates()
        self._merge.changes(now_ms, self._settled_ms(coming))

    def finish(self, now_ms: int) -> Iterator[Told]:
        """The same, where nothing more comes. What a commit promises is told with the next one."""
        for _ in range(2):
            yield from self.tell(now_ms, {})

    def _settled_ms(self, coming: Mapping[int, Record | None]) -> int:
        """Behind it lies every event that still counts. The aggregate goes by clocks, and so may drop a window that
        somebody who was offline for hours adds to; here nothing is missed."""
        return min((self._time_with(*one) for one in coming.items()), default=sys.maxsize) - self._lateness_ms

    def _time_with(self, partition: int, record: Record | None) -> int:
        """A partition's event time as it will be with its next record."""
        time_ms = self._folded[partition].fold.marker.event_time_ms
        if record is None:
            return time_ms
        ((_, event),) = _read(self._folded[partition].fold, [record])
        if isinstance(event, Rejected) or record.key != event.student_id.encode():
            return time_ms
        if probe.is_probe(event.student_id):
            return time_ms
        return max(time_ms, min(event.occurred_at_ms, record.timestamp))


def _read(fold: Fold, records: Sequence[Record]) -> list[Read]:
    """A record that cannot be read is a dead letter, as it is where the aggregate finds it by halves."""
    try:
        return fold.read(records)
    except Exception as error:
        if len(records) == 1:
            return [(records[0], Rejected(records[0], Reason.FAILED, repr(error)))]
        return [read for record in records for read in _read(fold, [record])]
