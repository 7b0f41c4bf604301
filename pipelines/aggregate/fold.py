"""The fold of one partition of `activity`: a function of its records alone, no clock, no client library.

What the stock transport's flush writes, in this order: what is told, the students, the marker, the tombstones of
students of whom nothing is left; then the source offset is committed. So an event the students know has been told, and
everything behind the marker is judged anew from the state at the marker, with the same verdict as the first time. By
the batch all of it is one transaction.

A tombstone is written for a student only when his stored record already says that nothing is left: nothing of his lies
behind the marker last written. Not written, it leaves a record that changes no number; written, it takes nothing away
that a replay would need.
"""

import secrets
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pipelines.aggregate import students
from pipelines.aggregate.blocks import BLOCK
from pipelines.aggregate.compact import same_number
from pipelines.aggregate.dedupe import ID_BITS, Ids, hash_of
from pipelines.aggregate.lanes import EVENT, scored
from pipelines.aggregate.learners import Learner
from pipelines.aggregate.marker import Marker, SeenIds
from pipelines.aggregate.panes import Counts
from pipelines.aggregate.reading import Read, Rejected, by_its_key, read
from pipelines.aggregate.scopes import Scopes
from pipelines.aggregate.students import NOTED, SESSION_ENDED, Place, Student
from pipelines.aggregate.windows import DAY_MS, DAY_PANES, HOUR_MS, HOUR_PANES, MINUTE_PANES, PANE_MS, pane_of
from pipelines.records import Record
from wire import events, probe
from wire.dead_letters import Reason
from wire.events import ReadEvent
from wire.partials import DELAY_BUCKETS, Partial, add_one
from wire.probe import Echo
from wire.scopes import Scope

IDS_BYTES = 400_000  # of one record
ECHOES_MAX = 100  # not told yet; a year of probes read at once leaves its newest


class Bounds(NamedTuple):
    lateness_ms: int  # further behind the partition's newest event: late
    skew_ms: int  # further ahead of the record's timestamp: a wrong clock
    ids_max: int = 78_000  # event ids of one generation (aggregate/dedupe.py)
    places_max: int = students.PLACES_MAX  # courses and teams of one student


class Batch(NamedTuple):
    """What a batch was found to hold; read = folded + len(again) + len(late) + len(dead)."""

    folded: int  # probes too
    again: list[int]  # offsets of duplicates
    late: list[Record]
    dead: list[Rejected]
    forgotten: int  # ids that were given up too early: such an event sent again would count again
    probes: int  # wire/probe.py


class Fold:
    def __init__(self, partition: int, bounds: Bounds) -> None:
        self.marker = Marker(partition)
        self._bounds = bounds
        self._ids = Ids(bounds.lateness_ms + bounds.skew_ms)
        self._learners: dict[bytes, Learner] = {}
        self._scopes = Scopes()
        self._changed: list[Learner] = []  # to be told
        self._echoes: dict[str, Echo] = {}  # to be told: of each door the newest
        self.new_minutes = 0  # of students, since all was last told
        self._unwritten: set[Learner] = set()
        self._id_records: dict[str, int] = {}  # key → generation, of what is in the changelog
        self._replay_until = -1  # some student may have been further than the marker
        self._complete_from_ms = 0  # behind it some student has dropped panes, so sums made of them would be too low
        self._swept_day: int | None = None
        self._swept_block: int | None = None
        self._written_offset = -1  # of the marker as last handed out to be written

    @classmethod
    def restore(
        cls, marker: Marker, bounds: Bounds, stored: Mapping[str, Student], seen: Mapping[str, SeenIds]
    ) -> "Fold":
        """From the changelog: the marker (a new one where there is none), this partition's students by id, and its
        records of event ids by key."""
        self = cls(marker.partition, bounds)
        self.marker = marker
        if not marker.generation_ends_ms:  # no id has come yet
            marker.salt = secrets.randbits(60)  # it changes no verdict
        self._written_offset = marker.offset
        self._ids.generation, self._ids.ends_ms = marker.generation, marker.generation_ends_ms
        for key, of in seen.items():
            self._id_records[key] = of.generation
            if of.offset <= marker.offset:  # else its flush was torn: judged anew, they would be their own duplicates
                self._ids.put_back(of.generation, of.ids)
        for id_, student in stored.items():
            self._complete_from_ms = max(self._complete_from_ms, student.complete_from_ms)
            self._replay_until = max(self._replay_until, student.guard)
            students.share(student)
            learner = self._learners[id_.encode()] = Learner(id_, student, marker.salt)
            with students.all_awake(student):
                for of_scope, places in self._scopes.scopes_of(student.places):
                    of_scope.add_up(places)
            self._scopes.stand(learner)
        return self

    @property
    def learners(self) -> Iterable[Learner]:
        return self._learners.values()

    def fold(self, records: Sequence[Record]) -> Batch:
        return self.take(self.read(records))

    def read(self, records: Sequence[Record]) -> list[Read]:
        """What the records hold. Changes nothing, so what raises here may be tried again with fewer of them."""
        return read(records, self._bounds.skew_ms)

    def take(self, read: Iterable[Read]) -> Batch:
        """Applies records in offset order. Those at or below the marker have been applied by an earlier life.

        The one loop that every event of every student goes through: what need not be looked up again is in a local
        name, and what is rare is in a method.
        """
        folded = probes = 0
        again: list[int] = []
        late: list[Record] = []
        dead: list[Rejected] = []
        marker, scopes, ids, replay_until = self.marker, self._scopes, self._ids, self._replay_until
        at, now_ms, lateness_ms = marker.offset, marker.event_time_ms, self._bounds.lateness_ms
        ids_max = self._bounds.ids_max
        find, changed, delays = self._learners.get, self._changed, marker.delays
        known, known_old, fresh = ids.ids, ids.old, ids.fresh
        pane, hour, of_hour = -1, -1, [0]  # of the last event that was counted
        for record, event in read:
            offset = record.offset
            if offset <= at:
                continue
            at = offset
            if isinstance(event, Rejected):
                dead.append(event)
                continue
            key, at_ms = record.key, event.occurred_at_ms
            learner = find(key)  # type: ignore[arg-type]  # None finds nobody
            if learner is None or learner.id != event.student_id:
                if key is None or key != event.student_id.encode():
                    dead.append(by_its_key(record))
                    continue
                if probe.is_probe(event.student_id):  # no student is ever made of it, so each comes by here
                    self._echo(event)
                    probes += 1
                    continue
                learner = self._learners[key] = Learner(event.student_id, Student(marker.partition), marker.salt)
            if at_ms > now_ms:
                # A clock ahead within the skew must not make others late: time moves no further than the record's own.
                now_ms = max(now_ms, min(at_ms, record.timestamp))
            elif at_ms < now_ms - lateness_ms:
                late.append(record)
                continue
            if now_ms >= ids.ends_ms:
                ids.roll(now_ms)
                known, known_old, fresh = ids.ids, ids.old, ids.fresh
            id_ = hash_of(event.event_id.encode(), learner.seed) & ID_BITS
            if id_ in known or id_ in known_old:
                again.append(offset)
                continue
            if len(known) >= ids_max:
                ids.roll(now_ms)
                known, known_old, fresh = ids.ids, ids.old, ids.fresh
            known[id_] = 1
            fresh.append(id_)
            number = at_ms // PANE_MS
            if number != pane:
                pane, hour = number, number // HOUR_PANES
                if hour not in delays:
                    delays[hour] = [0] * DELAY_BUCKETS
                of_hour = delays[hour]
            # The first of DELAY_BOUNDS_MS that is not below it.
            delay_ms = event.received_at_ms - at_ms
            of_hour[0 if delay_ms <= 250 else min(((delay_ms - 1) // 250).bit_length(), DELAY_BUCKETS - 1)] += 1
            student = learner.student
            if offset <= replay_until and offset <= student.guard:
                folded += 1  # or what it was in an earlier life, which has told it
                scopes.delay_counted(hour)  # the delays are not the student's
                continue
            if (
                number != learner.pane_number
                or event.course_id != learner.place.course
                or event.team_id != learner.place.team
            ) and (refused := self._sit(learner, event, number, now_ms)):
                dead.append(Rejected(record, *refused))
                scopes.delay_counted(hour)  # its delay has been counted
                add_one(marker.unplaced, hour, 1)
                continue
            kind, score = event.kind, event.score
            counted, units = EVENT[kind][event.success], -1
            if score is not None:
                units = students.units(score)
                counted += scored(units)
            learner.counted += counted
            if learner.changed is None:
                learner.changed = {number}
                changed.append(learner)
            if event.task_id is not None:
                complete_from_ms = now_ms - lateness_ms
                students.count_task(student, learner.place, learner.day, event, event.task_id, units, complete_from_ms)
            if kind in NOTED:
                students.note(learner.place, kind, at_ms)
                learner.leave()  # he may be seen again in this pane
            folded += 1
        marker.offset, marker.event_time_ms = at, now_ms
        folded += probes
        marker.folded += folded
        marker.duplicate += len(again)
        marker.late += len(late)
        marker.dead += len(dead)
        forgotten, ids.forgotten = ids.forgotten, 0
        return Batch(folded, again, late, dead, forgotten, probes)

    def _echo(self, event: ReadEvent) -> None:
        self._echoes.pop(event.source, None)
        self._echoes[event.source] = Echo(
            scope=str(Scope.student(event.student_id)), door=event.source, sent_ms=event.occurred_at_ms
        )
        if len(self._echoes) > ECHOES_MAX:
            del self._echoes[next(iter(self._echoes))]

    def echoes(self) -> list[Echo]:
        """Of the probes folded since the last call."""
        out = list(self._echoes.values())
        self._echoes.clear()
        return out

    def _sit(self, learner: Learner, event: ReadEvent, number: int, now_ms: int) -> tuple[Reason, str] | None:
        """Makes the student's place, pane, hour and day those of the event; or says why that cannot be."""
        course, team, places = event.course_id, event.team_id, learner.student.places
        place = next((place for place in places if place.course == course and place.team == team), None)
        places_max, first_day = self._bounds.places_max, students.first_day(now_ms - self._bounds.lateness_ms)
        # Of those that are no longer kept some are still here, others not; it must make no difference.
        is_new = place is None or not place.is_kept(first_day)
        if is_new and sum(other.is_kept(first_day) for other in places) >= places_max:
            return Reason.TOO_MANY_SCOPES, f"the student is in {places_max} courses and teams already"
        if place is None:
            if team is not None and not events.is_team_id(team):
                return Reason.INVALID, "team_id holds a slash"
            place = Place(sys.intern(course), team and sys.intern(team))
            learner.student.places = (*places, place)
        learner.leave()
        learner.place, learner.counters = place, self._scopes.counters_of(course, team)
        number = same_number(number)
        learner.student.wake(number)
        if number not in place.panes:
            self.new_minutes += number // MINUTE_PANES != place.newest_pane // MINUTE_PANES
            self._scopes.new_pane(learner, place, number)
        if event.kind != SESSION_ENDED:
            place.seen_pane = max(place.seen_pane, number)
        pane = place.panes[number]
        place.panes[number] = learner.pane = Counts(pane.events, pane.attempts, pane.failures)
        learner.hour, learner.day = place.hour(number // HOUR_PANES), place.day(number // DAY_PANES)
        learner.pane_number = number
        if learner.changed is not None:
            learner.changed.add(number)
        return None

    @property
    def adrift(self) -> int:
        """Folded events that the windows told last lack: 0, or there is a fault in here."""
        return sum(self._scopes.adrift.values())

    def partials(self) -> list[Partial]:
        """The scopes changed since the last call. The same again after a replay."""
        self._scopes.settle(self._changed)
        return self._scopes.partials(self.marker, self._complete_from_ms)

    def stand_anew(self, telling: int) -> list[Learner]:
        """Of the students changed since all was last told those who have not been told of with this telling. They stay
        changed."""
        out = [learner for learner in self._changed if learner.told_with < telling]
        self._scopes.stand_anew(out)
        return out

    @property
    def is_changed(self) -> bool:
        """Something has been folded since all was last told."""
        return bool(self._changed)

    def changed(self) -> list[tuple[Learner, Collection[int]]]:
        """The students changed since the last call, with the panes in which they were."""
        out: list[tuple[Learner, Collection[int]]] = [(learner, learner.changed or ()) for learner in self._changed]
        for learner in self._changed:
            learner.changed = None
        self._unwritten.update(self._changed)
        self._changed.clear()
        self.new_minutes = 0
        return out

    def changes(self, closed_ms: int = sys.maxsize) -> dict[str, Student | None]:
        """The students changed since the last call, what is done with dropped; None: nothing is left of him, and
        nothing is missing from his stored record. To be written in that order, with the marker in between. Before it
        all that has changed has been told. `closed_ms`: of windows that end later something is still to be told."""
        marker = self.marker
        complete_from_ms = min(marker.event_time_ms - self._bounds.lateness_ms, closed_ms)
        day = complete_from_ms // DAY_MS
        touched: Collection[Learner] = self._unwritten
        looked_at = touched
        swept = self._swept_day not in (None, day)
        self._swept_day = day
        if swept:  # once a day of event time also those who have been away
            looked_at = list(self._learners.values())
            first_hour = complete_from_ms // HOUR_MS
            marker.delays = {hour: of for hour, of in marker.delays.items() if hour >= first_hour}
            marker.unplaced = {hour: of for hour, of in marker.unplaced.items() if hour >= first_hour}
        out: dict[str, Student | None] = {}
        for learner in looked_at:
            student = learner.student
            # Else his record must first say what this batch made of him. And one from a life that had come further also
            # says from when on sums are complete, which is needed until this one is there too.
            stored = (
                learner not in touched
                and student.guard <= self._written_offset
                and student.complete_from_ms <= complete_from_ms
            )
            # Also without an event: what is dropped now may have been what an event before this was judged by. One
            # restored ahead of the partition stays ahead.
            student.guard = max(student.guard, marker.offset)
            number = len(student.places)
            learner.leave()  # what it lies in may be dropped
            students.settle(student, complete_from_ms, min(closed_ms, marker.event_time_ms))
            if len(student.places) < number:
                self._scopes.stand(learner)
            if students.is_kept(student) or not stored:
                out[learner.id] = student
            else:
                del self._learners[learner.id.encode()]
                out[learner.id] = None
        self._unwritten.clear()
        kept_from_ms = students.kept_from_ms(complete_from_ms)
        block = pane_of(kept_from_ms) // BLOCK
        if self._swept_block not in (None, block):
            self._scopes.drop(kept_from_ms)
        self._swept_block = block
        self._written_offset = marker.offset
        return out

    def seen_ids(self) -> dict[str, SeenIds | None]:
        """The event ids that came since the last call, and which records of them are needed no more. To be written
        before the marker; those that are needed no more, after it."""
        marker = self.marker
        marker.generation, marker.generation_ends_ms = self._ids.generation, self._ids.ends_ms
        out: dict[str, SeenIds | None] = {}
        for generation, ids in self._ids.take().items():
            for first in range(0, len(ids), IDS_BYTES):
                key = f"{marker.partition}:{generation}:{marker.offset}:{first}"
                part = ids[first : first + IDS_BYTES]
                out[key] = SeenIds(marker.partition, generation, marker.offset, part)
                self._id_records[key] = generation
        for key in [key for key, generation in self._id_records.items() if not self._ids.knows(generation)]:
            del self._id_records[key]
            out[key] = None
        return out
