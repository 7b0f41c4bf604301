"""What is kept of one student: the only keyed aggregate that an event changes. Pure.

All of it is the same for any order of the events, so that a shuffled topic gives the same numbers.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from pipelines.aggregate import panes, sessions
from pipelines.aggregate.compact import same, same_number
from pipelines.aggregate.panes import Counts, Resting, same_counts
from pipelines.aggregate.sessions import Runs, Sessions
from pipelines.aggregate.windows import DAY_MS, DAY_PANES, HOUR_MS, LONGEST_WINDOW_MS, PANE_MS, pane_of
from wire.events import Kind, ReadEvent
from wire.partials import SCORE_UNITS

# A student is one record of a changelog, and one that Kafka would not take (1 MB) stops the partition for everybody. So
# whatever a producer can make grow is bounded: a full record is about 900 KB, at the longest lateness that
# AggregateSettings takes.
PLACES_MAX = 16  # courses and teams in two days; an event in one more is a dead letter
TASKS_MAX = 300  # in two days, over all places; of one more only the event is counted
RUNS_MAX = 36  # of one task's day, which span 3 h at least, so that no accepted event changes the first
STUCK_MAX = 16  # tasks of a place whose failures are kept; with one more, the one failed at longest ago is forgotten

# Struggling: so many failures at one task since the last success at it, spread over so long.
FAILURES_MIN = 3
FAILURES_SPREAD_MS = 2 * 60_000
FAILURES_WITHIN_MS = 30 * 60_000  # of the newest; older ones are another lesson's
FAILURES_KEPT = 32  # of more the middle ones are forgotten: what counts is the first, the last, and that they are many

SESSION_ENDED = Kind.SESSION_ENDED.value
NOTED = frozenset((SESSION_ENDED, Kind.HELP_REQUESTED.value, Kind.HELP_RESOLVED.value))
_TASK_COMPLETED = Kind.TASK_COMPLETED.value


# There are hundreds of thousands of them in a process, so they are kept small: the garbage collector need not know
# what makes no cycles; what most students have none of is None; what thousands have alike is one object.


class Hour(msgspec.Struct, array_like=True, gc=False):
    number: int
    events: int = 0
    attempts: int = 0
    failures: int = 0


class Task(msgspec.Struct, array_like=True, gc=False):
    """One task on one day."""

    attempts: int = 0
    completed: bool = False
    best: int = -1  # score, of SCORE_UNITS
    runs: Runs = []  # the newest RUNS_MAX; what was before them is in the day's sum


class Day(msgspec.Struct, array_like=True, gc=False):
    number: int
    attempts: int = 0
    failures: int = 0
    kinds: dict[str, int] = {}
    scored: int = 0
    score_sum: int = 0
    score_bins: list[int] | None = None
    tasks: dict[str, Task] | None = None
    # Sums over the tasks.
    completed: int = 0
    task_attempts: int = 0
    tasks_tried: int = 0
    best_sum: int = 0
    tasks_scored: int = 0
    time_on_task_ms: int = 0


class Stuck(msgspec.Struct, array_like=True, gc=False):
    """Failures at one task since the newest success at it, within FAILURES_WITHIN_MS of the newest failure."""

    success_ms: int = -1
    failures: list[int] = []  # event times, ascending

    @property
    def touched_ms(self) -> int:
        return self.failures[-1] if self.failures else self.success_ms


class Place(msgspec.Struct, array_like=True, gc=False):
    """The student in one course, as a member of one team or of none."""

    course: str
    team: str | None
    panes: dict[int, Counts] = {}
    hours: tuple[Hour, ...] = ()
    days: tuple[Day, ...] = ()
    newest_pane: int = -1
    seen_pane: int = -1  # of the newest event that does not end a session
    ended_pane: int = -1  # of the newest end of a session
    asked_ms: int = -1  # newest help request
    resolved_ms: int = -1  # newest resolution, or end of a session
    stuck: dict[str, Stuck] | None = None
    resting: Resting | None = None  # those of the panes that lie behind every window

    def whole(self) -> dict[int, Counts]:
        """All of the panes."""
        return self.panes if self.resting is None else {**self.resting.read(), **self.panes}

    def wake(self) -> None:
        """Has all of the panes in `panes`, to be changed or looked through."""
        self.panes, self.resting = self.whole(), None

    def is_kept(self, first_day: int) -> bool:
        """A day longer than its counts: for so long a help request is open, and what resolves it may be in another."""
        return self.newest_pane // DAY_PANES >= first_day - 1

    def hour(self, number: int) -> Hour:
        """A new one where there is none."""
        for hour in self.hours:
            if hour.number == number:
                return hour
        hour = Hour(same_number(number))
        self.hours += (hour,)
        return hour

    def day(self, number: int) -> Day:
        """A new one where there is none."""
        for day in self.days:
            if day.number == number:
                return day
        day = Day(same_number(number))
        self.days += (day,)
        return day


class Student(msgspec.Struct, array_like=True, gc=False):
    partition: int  # of `activity`: says which partition's state a record in the changelog belongs to
    guard: int = -1  # the last source offset applied
    complete_from_ms: int = 0  # nothing at or behind this event time has been dropped
    places: tuple[Place, ...] = ()
    sessions: Sessions = msgspec.field(default_factory=Sessions)

    def wake(self, pane: int) -> None:
        """Has this pane, and the nearest behind it, in `panes`; the nearest before it may be the last that rests."""
        for place in self.places:
            if place.resting is not None and pane <= place.resting.last:
                place.wake()


@contextmanager
def all_awake(student: Student) -> Iterator[None]:
    """All his panes are in `panes` meanwhile, to be looked at."""
    before = [(place, place.panes, place.resting) for place in student.places if place.resting is not None]
    for place, _, _ in before:
        place.wake()
    yield
    for place, panes_, resting in before:
        place.panes, place.resting = panes_, resting


class DayStanding(NamedTuple):
    day: int
    completed: int
    task_attempts: int
    tasks_tried: int
    best_sum: int
    tasks_scored: int
    time_on_task_ms: int


class Standing(NamedTuple):
    """What one student is in the sums of a scope, beside his events."""

    seen_pane: int  # -1: he is not there
    asked_ms: int  # -1: he does not wait
    struggling_pane: int  # -1: he does not struggle
    hours: tuple[int, ...]  # with an event
    days: tuple[DayStanding, ...]  # with an event


same_standing = same(Standing)


def share(student: Student) -> None:
    """Where he comes from a changelog: what others have alike becomes one object with theirs."""
    for place in student.places:
        place.course, place.team = sys.intern(place.course), place.team and sys.intern(place.team)
        place.panes = {
            same_number(number): same_counts(of.events, of.attempts, of.failures) for number, of in place.panes.items()
        }


def note(place: Place, kind: str, at_ms: int) -> None:
    """What an event of NOTED says beside its number."""
    if kind == Kind.HELP_REQUESTED.value:
        place.asked_ms = max(place.asked_ms, at_ms)
        return
    place.resolved_ms = max(place.resolved_ms, at_ms)
    if kind == SESSION_ENDED:
        place.ended_pane = max(place.ended_pane, pane_of(at_ms))


def count_task(
    student: Student, place: Place, day: Day, event: ReadEvent, task_id: str, score: int, complete_from_ms: int
) -> None:
    """What an event says of its task."""
    at_ms, success = event.occurred_at_ms, event.success
    pane_ms = at_ms // PANE_MS * PANE_MS
    task = day.tasks.get(task_id) if day.tasks else None
    if task is None:
        first_kept = first_day(complete_from_ms)
        days = (of_place for place in student.places for of_place in place.days)
        if sum(len(of_place.tasks or ()) for of_place in days if of_place.number >= first_kept) >= TASKS_MAX:
            return
        if day.tasks is None:
            day.tasks = {}
        task = day.tasks[task_id] = Task()
    if not task.runs or pane_ms != task.runs[-1]:
        runs = task.runs
        before_ms = sessions.active_ms(runs)
        sessions.visit(runs, pane_ms)
        day.time_on_task_ms += sessions.active_ms(runs) - before_ms
        if len(runs) > 2 * RUNS_MAX:
            del runs[:2]
    if score > task.best:
        day.best_sum += score - max(task.best, 0)
        day.tasks_scored += task.best < 0
        task.best = score
    if (success or (success is None and event.kind == _TASK_COMPLETED)) and not task.completed:
        task.completed = True
        day.completed += 1
    if success is None:
        return
    day.task_attempts += 1
    day.tasks_tried += not task.attempts
    task.attempts += 1
    if place.stuck is None:
        place.stuck = {}
    _try(place.stuck, task_id, at_ms, success)


def _try(stuck: dict[str, Stuck], task_id: str, at_ms: int, success: bool) -> None:
    of = stuck.get(task_id)
    if of is None:
        if len(stuck) >= STUCK_MAX:
            del stuck[min(stuck, key=lambda id_: (stuck[id_].touched_ms, id_))]
        of = stuck[task_id] = Stuck()
    if success:
        of.success_ms = max(of.success_ms, at_ms)
    else:
        of.failures = sorted((*of.failures, at_ms))
    since_ms = max(of.success_ms, of.touched_ms - FAILURES_WITHIN_MS)
    of.failures = [failed_ms for failed_ms in of.failures if failed_ms > since_ms]
    if len(of.failures) > FAILURES_KEPT:
        del of.failures[FAILURES_KEPT // 2]


def struggling_pane(place: Place) -> int:
    """The pane of the newest failure at a task that he struggles with; -1: there is none."""
    newest = -1
    for of in (place.stuck or {}).values():
        failures = of.failures
        if len(failures) >= FAILURES_MIN and failures[-1] - failures[0] >= FAILURES_SPREAD_MS:
            newest = max(newest, failures[-1])
    return -1 if newest < 0 else pane_of(newest)


def standing(places: Sequence[Place]) -> Standing:
    """Of one student in the scope that these of his places belong to. What he did in one of them ends what he began in
    another: a team may have changed in between."""
    if len(places) == 1:  # nearly always
        (place,) = places
        return same_standing(
            Standing(
                place.seen_pane if place.seen_pane > place.ended_pane else -1,
                place.asked_ms if place.asked_ms > place.resolved_ms else -1,
                struggling_pane(place),
                tuple([hour.number for hour in place.hours]),
                tuple([_on(day) for day in place.days]),
            )
        )
    seen, ended = max(place.seen_pane for place in places), max(place.ended_pane for place in places)
    asked, resolved = max(place.asked_ms for place in places), max(place.resolved_ms for place in places)
    days: dict[int, DayStanding] = {}
    for place in places:
        for of in map(_on, place.days):
            before = days.get(of.day)
            days[of.day] = DayStanding(of.day, *map(sum, zip(before[1:], of[1:], strict=True))) if before else of
    return Standing(
        seen if seen > ended else -1,
        asked if asked > resolved else -1,
        max(struggling_pane(place) for place in places),
        tuple({hour.number for place in places for hour in place.hours}),
        tuple(days.values()),
    )


def _on(day: Day) -> DayStanding:
    return DayStanding(
        day.number, day.completed, day.task_attempts, day.tasks_tried, day.best_sum, day.tasks_scored,
        day.time_on_task_ms,
    )  # fmt: skip


def events_by_day(places: Sequence[Place]) -> tuple[tuple[int, int], ...]:
    """Epoch day → events, of one student in the scope that these of his places belong to."""
    total: dict[int, int] = {}
    for place in places:
        for day in place.days:
            total[day.number] = total.get(day.number, 0) + sum(day.kinds.values())
    return tuple(total.items())


def units(score: float) -> int:
    """A score in SCORE_UNITS, rounded half up."""
    return int(score * SCORE_UNITS + 0.5)


def kept_from_ms(complete_from_ms: int) -> int:
    """A longest window before what accepted events may still have, so that the gaps of what is counted can be told."""
    return complete_from_ms - LONGEST_WINDOW_MS


def first_day(complete_from_ms: int) -> int:
    """Of those that are kept."""
    return kept_from_ms(complete_from_ms) // DAY_MS


def settle(student: Student, complete_from_ms: int, closed_ms: int) -> None:
    """Drops what no accepted event can change any more, and lays to rest the panes that no window is to be made of
    which ends later than `closed_ms`. Done sooner or later, it changes no number."""
    student.complete_from_ms = max(student.complete_from_ms, complete_from_ms)
    first_pane, first_awake = pane_of(kept_from_ms(complete_from_ms)), pane_of(kept_from_ms(closed_ms))
    first_hour = complete_from_ms // HOUR_MS
    first_kept = first_day(complete_from_ms)
    student.sessions.settle(complete_from_ms)
    # A session counts for the day it began on, also after midnight.
    kept_day = min(first_kept, max(first_kept - 1, min(student.sessions.open_days(), default=first_kept)))
    student.sessions.drop(kept_day)
    for place in student.places:
        place.panes, place.resting = panes.settled(place.panes, place.resting, first_pane, first_awake)
        if any(hour.number < first_hour for hour in place.hours):
            place.hours = tuple(hour for hour in place.hours if hour.number >= first_hour)
        if any(day.number < kept_day for day in place.days):
            place.days = tuple(day for day in place.days if day.number >= kept_day)
        if place.stuck:
            since_ms = complete_from_ms - FAILURES_WITHIN_MS
            place.stuck = {id_: of for id_, of in place.stuck.items() if of.touched_ms >= since_ms}
    if not all(place.is_kept(first_kept) for place in student.places):
        student.places = tuple(place for place in student.places if place.is_kept(first_kept))


def is_kept(student: Student) -> bool:
    return bool(student.places or student.sessions.runs)
