"""The fold of one partition of `activity`: a function of its records alone, no clock, no client library.

What a flush writes, in this order (agents.py): partials, then the students, then the marker, then the tombstones of
students of whom nothing is left; then the source offset is committed. So an event the students know has been published,
and everything behind the marker is judged anew from the state at the marker, with the same verdict as the first time.

A tombstone is written for a student only when his stored record already says that nothing is left: nothing of his lies
behind the marker last written. Not written, it leaves a record that changes no number; written, it takes nothing away
that a replay would need.
"""

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from pipelines.aggregate import students, windows
from pipelines.aggregate.students import Change, Student
from pipelines.aggregate.windows import DAY_MS, PANE_MS, pane_of
from pipelines.records import Record
from wire import events, partials
from wire.dead_letters import Reason
from wire.events import ActivityEvent
from wire.partials import DISTINCT_PANES, PaneCounts, Partial

LONGEST_WINDOW_MS = DISTINCT_PANES * PANE_MS


class Bounds(NamedTuple):
    lateness_ms: int  # further behind the partition's newest event: late
    skew_ms: int  # further ahead of the record's timestamp: a wrong clock
    ids: int = students.IDS_MAX  # of one student
    scopes: int = students.SCOPES_MAX  # of one student


class Marker(msgspec.Struct, array_like=True):
    """What belongs to the partition and not to a student."""

    partition: int
    offset: int = -1
    event_time_ms: int = 0  # the highest seen
    folded: int = 0
    duplicate: int = 0
    late: int = 0
    dead: int = 0


class Rejected(NamedTuple):
    record: Record
    reason: Reason
    detail: str


Read = tuple[Record, ActivityEvent | Rejected]


class Batch(NamedTuple):
    """What a batch was found to hold; read = folded + duplicate + len(late) + len(dead)."""

    folded: int
    duplicate: int
    late: list[Record]
    dead: list[Rejected]
    forgotten: int  # ids of students with too many: such an event sent again would count again


class _Verdict(Enum):
    FOLDED = auto()
    DUPLICATE = auto()
    NO_ROOM = auto()


class Sums(msgspec.Struct):
    """One scope, over this partition's students."""

    panes: dict[int, PaneCounts] = {}
    days: dict[int, dict[str, int]] = {}
    waiting: int = 0
    changed_panes: set[int] = msgspec.field(default_factory=set)
    changed_days: set[int] = msgspec.field(default_factory=set)


class Fold:
    def __init__(self, partition: int, bounds: Bounds) -> None:
        self._bounds = bounds
        self._students: dict[str, Student] = {}
        self._sums: dict[str, Sums] = {}
        self._changed_students: set[str] = set()
        self._changed_scopes: set[str] = set()
        self._complete_from_ms = 0  # behind it some student has dropped panes, so sums made of them would be too low
        self._swept_day = 0
        self._written_offset = -1  # of the marker as last handed out to be written
        self._forgotten = 0
        self.marker = Marker(partition)

    @classmethod
    def restore(cls, marker: Marker, bounds: Bounds, stored: Mapping[str, Student]) -> "Fold":
        """From the changelog: the marker (a new one where there is none) and this partition's students by id."""
        self = cls(marker.partition, bounds)
        self.marker = marker
        self._swept_day = marker.event_time_ms // DAY_MS
        self._written_offset = marker.offset
        self._students = dict(stored)
        for student in stored.values():
            self._complete_from_ms = max(self._complete_from_ms, student.complete_from_ms)
            for scope, track in student.tracks.items():
                _sum_up(track, self._sums.setdefault(scope, Sums()))
        return self

    def fold(self, records: Iterable[Record]) -> Batch:
        return self.take(self.read(records))

    def read(self, records: Iterable[Record]) -> list[Read]:
        """What the records hold. Changes nothing, so what raises here may be tried again with fewer of them."""
        return [(record, self._read(record)) for record in records]

    def take(self, read: Iterable[Read]) -> Batch:
        """Applies records in offset order. Those at or below the marker have been applied by an earlier life."""
        folded = duplicate = self._forgotten = 0
        late: list[Record] = []
        dead: list[Rejected] = []
        marker = self.marker
        for record, event in read:
            if record.offset <= marker.offset:
                continue
            marker.offset = record.offset
            if isinstance(event, Rejected):
                dead.append(event)
                continue
            # A clock ahead within the skew must not make others late, so time moves no further than the record's own.
            marker.event_time_ms = max(marker.event_time_ms, min(event.occurred_at_ms, record.timestamp))
            if event.occurred_at_ms < marker.event_time_ms - self._bounds.lateness_ms:
                late.append(record)
                continue
            match self._apply(event, record.offset):
                case _Verdict.FOLDED:
                    folded += 1
                case _Verdict.DUPLICATE:
                    duplicate += 1
                case _Verdict.NO_ROOM:
                    detail = f"the student is in {self._bounds.scopes} courses and teams already"
                    dead.append(Rejected(record, Reason.TOO_MANY_SCOPES, detail))
        marker.folded += folded
        marker.duplicate += duplicate
        marker.late += len(late)
        marker.dead += len(dead)
        return Batch(folded, duplicate, late, dead, self._forgotten)

    def _read(self, record: Record) -> ActivityEvent | Rejected:
        if record.value is None:
            return Rejected(record, Reason.NO_VALUE, "the record has no value")
        if record.key is None:
            return Rejected(record, Reason.NO_KEY, "the record has no key; activity is keyed by student_id")
        try:
            event = events.decode(record.value)
        except msgspec.ValidationError as error:
            return Rejected(record, Reason.INVALID, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Rejected(record, Reason.NOT_JSON, str(error))
        if record.key != event.student_id.encode():
            return Rejected(record, Reason.KEY_MISMATCH, "the record's key is not its student_id")
        if (ahead_ms := event.occurred_at_ms - record.timestamp) > self._bounds.skew_ms:
            return Rejected(record, Reason.FUTURE, f"occurred_at is {ahead_ms / 1000:.0f} s ahead of the record's time")
        if event.occurred_at_ms < 0:
            return Rejected(record, Reason.INVALID, "occurred_at lies before 1970")
        return event

    def _apply(self, event: ActivityEvent, offset: int) -> _Verdict:
        student = self._students.get(event.student_id)
        if student is None:
            student = self._students[event.student_id] = Student(self.marker.partition)
        elif offset <= student.guard:
            return _Verdict.FOLDED  # or what it was in an earlier life, which has published it
        # Whatever the verdict: at the end of the batch his record drops what it is judged by.
        student.guard = offset
        self._changed_students.add(event.student_id)
        complete_from_ms, keep_from_ms = self._kept_from_ms()
        id_ = int.from_bytes(blake2b(event.event_id.encode(), digest_size=8).digest())
        if students.knows(student, id_, complete_from_ms):
            return _Verdict.DUPLICATE
        scopes = students.scopes(event)
        if not students.has_room(student, scopes, keep_from_ms // DAY_MS, self._bounds.scopes):
            return _Verdict.NO_ROOM
        self._forgotten += students.remember(student, id_, event.occurred_at_ms, complete_from_ms, self._bounds.ids)
        for scope in scopes:
            track = student.tracks.get(scope)
            if track is None:
                track = student.tracks[scope] = students.Track()
            self._count(students.apply(track, scope, event))
        return _Verdict.FOLDED

    def _kept_from_ms(self) -> tuple[int, int]:
        """The event time an accepted event may still have; and what is kept before it, so that its gap can be told."""
        complete_from_ms = self.marker.event_time_ms - self._bounds.lateness_ms
        return complete_from_ms, complete_from_ms - LONGEST_WINDOW_MS

    def _count(self, change: Change) -> None:
        """Carries a student's change into his scope's sums."""
        sums = self._sums.setdefault(change.scope, Sums())
        counts = sums.panes.setdefault(change.pane, PaneCounts())
        counts.events += 1
        counts.attempts += change.attempt
        counts.failures += change.failure
        if change.new:
            windows.shift_gap(counts.gaps, windows.gap(change.pane, change.before), 1)
            if change.behind is not None:  # his next active pane now has a nearer one before it
                behind = sums.panes[change.behind].gaps
                windows.shift_gap(behind, windows.gap(change.behind, change.before), -1)
                windows.shift_gap(behind, windows.gap(change.behind, change.pane), 1)
                sums.changed_panes.add(change.behind)
        kinds = sums.days.setdefault(change.day, {})
        kinds[change.kind] = kinds.get(change.kind, 0) + 1
        sums.waiting += change.waiting
        sums.changed_panes.add(change.pane)
        sums.changed_days.add(change.day)
        self._changed_scopes.add(change.scope)

    def partials(self) -> list[Partial]:
        """The scopes changed since the last call. The same again after a replay."""
        complete_from = pane_of(self._complete_from_ms)
        out = []
        for scope in self._changed_scopes:
            sums = self._sums[scope]
            out.append(
                partials.Partial(
                    scope=scope,
                    partition=self.marker.partition,
                    offset=self.marker.offset,
                    event_time_ms=self.marker.event_time_ms,
                    panes={pane: sums.panes[pane] for pane in sums.changed_panes if pane >= complete_from},
                    days={day: sums.days[day] for day in sums.changed_days if day * DAY_MS >= self._complete_day_ms()},
                    help_open=sums.waiting,
                )
            )
            sums.changed_panes = set()
            sums.changed_days = set()
        self._changed_scopes = set()
        return out

    def _complete_day_ms(self) -> int:
        # Days are dropped by the same bound, a whole day at a time.
        return (self._complete_from_ms - LONGEST_WINDOW_MS) // DAY_MS * DAY_MS

    def changes(self) -> dict[str, Student | None]:
        """The students changed since the last call, what is done with dropped; None: nothing is left of him, and
        nothing is missing from his stored record. To be written in that order, with the marker in between."""
        complete_from_ms, keep_from_ms = self._kept_from_ms()
        today = self.marker.event_time_ms // DAY_MS
        if today != self._swept_day:  # once a day of event time also those who have been away
            self._swept_day = today
            self._changed_students.update(self._students)
            _drop_old(self._sums, keep_from_ms)
        out: dict[str, Student | None] = {}
        for student_id in self._changed_students:
            student = self._students[student_id]
            # Else his record must first say what this batch made of him. And one from a life that had come further also
            # says from when on sums are complete, which is needed until this one is there too.
            stored = student.guard <= self._written_offset and student.complete_from_ms <= complete_from_ms
            students.prune(student, complete_from_ms, keep_from_ms)
            if student.ids or student.tracks or not stored:
                out[student_id] = student
            else:
                del self._students[student_id]
                out[student_id] = None
        self._changed_students = set()
        self._written_offset = self.marker.offset
        return out


def _sum_up(track: students.Track, sums: Sums) -> None:
    """Adds one student's track to his scope's sums."""
    before = None
    for pane in sorted(track.panes):
        counted, attempts, failures = track.panes[pane]
        one = PaneCounts(counted, attempts, failures, {windows.gap(pane, before): 1})
        windows.add(sums.panes.setdefault(pane, PaneCounts()), one)
        before = pane
    for day, kinds in track.days.items():
        total = sums.days.setdefault(day, {})
        for kind, number in kinds.items():
            total[kind] = total.get(kind, 0) + number
    sums.waiting += track.waiting


def _drop_old(sums: dict[str, Sums], keep_from_ms: int) -> None:
    for scope in list(sums):
        of = sums[scope]
        of.panes = {pane: counts for pane, counts in of.panes.items() if pane >= pane_of(keep_from_ms)}
        of.days = {day: kinds for day, kinds in of.days.items() if day >= keep_from_ms // DAY_MS}
        if not of.panes and not of.days and not of.waiting:
            del sums[scope]
