"""What is told of the students of one partition of `activity`, who live in no other: without a detour over merge. No
client library; the clock is an argument."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain

import msgspec

from pipelines.aggregate import telling
from pipelines.aggregate.clock import Clock, Kept, Timekeeper
from pipelines.aggregate.compact import same
from pipelines.aggregate.learners import Learner
from pipelines.aggregate.panes import Counts
from pipelines.aggregate.points import Reading
from pipelines.aggregate.students import Day
from pipelines.aggregate.telling import DAY, WIDTHS, Passage
from pipelines.aggregate.windows import DAY_PANES, PANE_MS
from wire.metrics import ScopeUpdate
from wire.partials import DayCounts, HourCounts, NowCounts
from wire.scopes import Scope, ScopeKind

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[float]).decode  # nothing is lost: whole numbers are below 2^53
_same = same(bytes)


class StudentView:
    """A student's record, as it is now, as the values of his scope are made of it, and what was told of him."""

    __slots__ = ("_learner", "_places", "_sessions", "now")

    kind = ScopeKind.STUDENT
    hours: Collection[int] = ()

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._places = learner.student.places
        self._sessions: dict[int, tuple[int, int]] | None = None  # each of a year's days asks for it
        self.now = NowCounts()
        if learner.stands:
            _, stands = learner.stands[0]  # in the school
            self.now = NowCounts(_one(stands.seen_pane), _one(stands.asked_ms), _one(stands.struggling_pane))

    @property
    def panes(self) -> Iterable[int]:
        return chain.from_iterable(place.whole() for place in self._places)

    @property
    def days(self) -> Collection[int]:
        return {day.number for place in self._places for day in place.days}

    def window(self, last_pane: int, width: int) -> tuple[Counts, int]:
        total = Counts()
        first = last_pane - width + 1
        for place in self._places:
            if place.newest_pane < first:
                continue
            panes = place.whole() if place.resting and first <= place.resting.last else place.panes
            # Whichever is shorter: a new student's panes, or the window.
            for number in range(first, last_pane + 1) if len(panes) > width else panes:
                if first <= number <= last_pane and (counts := panes.get(number)):
                    total.events += counts.events
                    total.attempts += counts.attempts
                    total.failures += counts.failures
        return total, int(total.events > 0)

    def hour(self, number: int) -> HourCounts | None:  # noqa: ARG002 - he has none
        return None

    def day(self, number: int) -> DayCounts | None:
        days = [day for place in self._places for day in place.days if day.number == number]
        if not days:
            return None
        if len(days) == 1:
            total = _counts(days[0])
        else:
            total = DayCounts()
            for day in days:
                total.add(_counts(day))
        total.students, total.progress = 1, {sum(day.completed for day in days): 1}
        if self._sessions is None:
            self._sessions = self._learner.student.sessions.by_day()
        total.sessions, total.active_ms = self._sessions.get(number, (0, 0))
        return total

    def news(self, window: int, readings: Sequence[Reading]) -> Iterable[Reading]:
        """Remembers one day, the newest, and how he stood."""
        learner = self._learner
        of_day = window % WIDTHS == DAY
        told = learner.told_day if of_day else learner.told_now
        said: list[float] = [window]
        for _, _, value, n in readings:
            said += (value, n)
        encoded = _encode(said)
        if encoded == told:
            return ()
        before = _decode(told) if told else [0.0]
        if before[0] > window:
            return readings
        if of_day:
            learner.told_day = _same(encoded)
        else:
            learner.told_now = _same(encoded)
        # Of a day there are the same readings as before, or one more, of the first of its kind.
        if before[0] != window or len(before) != len(said):
            return readings
        values, numbers = before[1::2], before[2::2]
        return [
            reading
            for reading, value, n in zip(readings, values, numbers, strict=True)
            if reading[2] != value or reading[3] != n
        ]

    def moves_until(self) -> int:
        return telling.moves_until(self._newest_pane(), self.now)

    def asleep(self, clock: Clock) -> bool:
        """Before a day is closed nothing is left to tell, unless it changes. `clock`: by which he has been told."""
        closed = telling.last_end_ms(self._newest_pane()) <= clock.closed_ms
        return closed and clock.head > self.moves_until()

    def _newest_pane(self) -> int:
        return max((place.newest_pane for place in self._places), default=-1)


class StudentValues:
    def __init__(self, partition: int, grace_ms: int, learners: Iterable[Learner]) -> None:
        """`learners`: all there are, whenever it is gone through."""
        self.time = Timekeeper([partition], grace_ms)
        self.told = Clock(0, 0, 0)  # by which everything has been told
        self.telling = 0  # how often all has been told
        self._kept_closed_ms = 0  # what ended by then an earlier life may have told as final
        self._learners = learners
        self._awake: set[Learner] = set()  # of whom something is to be told as time goes on

    @classmethod
    def restore(
        cls, partition: int, grace_ms: int, kept: Kept, learners: Iterable[Learner], wall_ms: int
    ) -> "StudentValues":
        self = cls(partition, grace_ms, learners)
        self.time = Timekeeper.restore([partition], grace_ms, kept, wall_ms)
        self.told = Clock(kept.told_ms, 0, kept.told_closed_ms)
        self._kept_closed_ms = kept.closed_ms
        self._awake = {learner for learner in learners if not StudentView(learner).asleep(self.told)}
        return self

    def of_some(self, learners: Iterable[Learner]) -> Iterator[ScopeUpdate]:
        """What has changed of these; they are told of again with all the others. To be read to its end."""
        clock = self.time.clock
        if clock.closed_ms > self.told.closed_ms:
            return  # what is closed is told with the others, once
        passage = Passage(clock, clock, self._kept_closed_ms)
        for learner in learners:
            yield from self._told(learner, StudentView(learner), passage, learner.changed or ())

    def updates(self, changed: Iterable[tuple[Learner, Collection[int]]]) -> Iterator[ScopeUpdate]:
        """What has changed, and what the passing of time has changed, one after the other, since together they are
        several times what is kept of the students. To be read to its end before anything else is asked for. `changed`:
        students since the last call, with the panes in which they were."""
        passage = Passage(self.told, self.time.clock, self._kept_closed_ms)
        self.told = passage.clock
        self.telling += 1
        panes_of = dict(changed)
        self._awake.update(panes_of)
        learners: Iterable[Learner] = panes_of
        if passage.moved or passage.closes:
            learners = self._learners if passage.closes_a_day else self._awake
        asleep: list[Learner] = []
        for learner in learners:
            view = StudentView(learner)
            yield from self._told(learner, view, passage, panes_of.get(learner, ()))
            if (passage.moved or passage.closes) and view.asleep(passage.clock):
                asleep.append(learner)
        self._awake.difference_update(asleep)

    def _told(self, learner: Learner, view: StudentView, passage: Passage, panes: Collection[int]) -> list[ScopeUpdate]:
        days: set[int] = set()
        if panes:
            learner.told_with = self.telling
            # A session counts for the day it began on, wherever its panes lie.
            days = {pane // DAY_PANES for pane in panes}
            days.update(*(learner.student.sessions.days_of(pane * PANE_MS) for pane in panes))
        live = bool(panes) or (passage.moved and passage.told_head <= view.moves_until())
        points = telling.told(view, passage, panes, (), days, live)
        return telling.in_parcels(str(Scope.student(learner.id)), points)


def _one(number: int) -> dict[int, int]:
    return {number: 1} if number >= 0 else {}


def _counts(day: Day) -> DayCounts:
    """But for what only he as a whole has."""
    return DayCounts(
        day.kinds, day.attempts, day.failures, 1, day.scored, day.score_sum, day.score_bins or [], {},
        day.task_attempts, day.tasks_tried, day.best_sum, day.tasks_scored, day.time_on_task_ms,
    )  # fmt: skip
