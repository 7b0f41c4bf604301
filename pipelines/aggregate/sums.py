"""What a partition's students add up to in one scope, ready to be told as a partial. Pure."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

import msgspec

from pipelines.aggregate import lanes, windows
from pipelines.aggregate.blocks import BLOCK, Blocks
from pipelines.aggregate.compact import same_number
from pipelines.aggregate.points import HELP_OPEN_MS, PRESENT_PANES, STRUGGLING_PANES
from pipelines.aggregate.students import Place, Standing
from pipelines.aggregate.windows import DAY_MS, HOUR_MS, MINUTE_PANES, pane_of
from wire.partials import DayCounts, HourCounts, NowCounts, PaneCounts, Partial, add_each, add_lists, add_one
from wire.scopes import Scope, ScopeKind

CountsT = TypeVar("CountsT")

_decode = msgspec.msgpack.Decoder(list[tuple[int, PaneCounts]]).decode

HOURS_A_DAY = DAY_MS // HOUR_MS
WINDOWS_MAX = 500  # panes, hours and days each of one partial, which Kafka takes up to 1 MB: a day is 1 KB at most


class Sums:
    __slots__ = (
        "_resting", "changed_hours", "changed_now", "changed_panes", "counts_members", "days", "hours", "now", "panes",
        "scope", "students",
    )  # fmt: skip

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.counts_members = Scope.parse(scope).kind is ScopeKind.TEAM
        self.students = 0
        self.panes: dict[int, PaneCounts] = {}
        self._resting = Blocks(_decode)  # the other ones
        self.hours: dict[int, HourCounts] = {}
        self.days: dict[int, DayCounts] = {}
        self.now = NowCounts()
        self.changed_panes: set[int] = set()
        self.changed_hours: set[int] = set()
        self.changed_now = False

    def count_panes(self, packed: Iterable[tuple[int, int]]) -> None:
        for pane, counted in packed:
            lanes.add_outcome(counted, self._pane(pane))
            self.changed_panes.add(pane)

    def count_hours(self, packed: Iterable[tuple[int, int]]) -> None:
        for hour, counted in packed:
            lanes.add_outcome(counted, _at(self.hours, hour, HourCounts))
            lanes.add_day(counted, _at(self.days, hour // HOURS_A_DAY, DayCounts))
            self.changed_hours.add(hour)

    def new_pane(self, places: Sequence[Place], pane: int) -> None:
        """A student was active in a pane for the first time, in one of his places that belong to this scope."""
        before, behind = _neighbours(places, pane)
        add_one(self._pane(pane).gaps, windows.gap(pane, before), 1)
        self.changed_panes.add(pane)
        if behind is not None:  # his next active pane now has a nearer one before it
            gaps = self._pane(behind).gaps
            add_one(gaps, windows.gap(behind, before), -1)
            add_one(gaps, windows.gap(behind, pane), 1)
            self.changed_panes.add(behind)

    def put(self, standing: Standing, sign: int) -> None:
        """Adds a student, or takes him out (-1)."""
        self.students += sign
        for held, of in (
            (self.now.seen, standing.seen_pane),
            (self.now.waiting, standing.asked_ms),
            (self.now.struggling, standing.struggling_pane),
        ):
            if of >= 0:
                add_one(held, of, sign)
        for hour in standing.hours:
            _at(self.hours, hour, HourCounts).students += sign
        for of_day in standing.days:
            day = _at(self.days, of_day.day, DayCounts)
            day.students += sign
            add_one(day.progress, of_day.completed, sign)
            day.task_attempts += sign * of_day.task_attempts
            day.tasks_tried += sign * of_day.tasks_tried
            day.best_sum += sign * of_day.best_sum
            day.tasks_scored += sign * of_day.tasks_scored
            day.time_on_task_ms += sign * of_day.time_on_task_ms

    def put_member(self, day: int, events: int, sign: int) -> None:
        """The same for his number of events on a day."""
        add_one(_at(self.days, day, DayCounts).members, events, sign)

    def add_up(self, places: Sequence[Place]) -> None:
        """Puts in what one student's places in this scope say of his events; all of his panes are awake."""
        for place in places:
            for number, pane in place.panes.items():
                self._pane(number).add(PaneCounts(pane.events, pane.attempts, pane.failures))
            for hour in place.hours:
                _at(self.hours, hour.number, HourCounts).add(HourCounts(hour.events, hour.attempts, hour.failures))
            for of in place.days:
                day = _at(self.days, of.number, DayCounts)
                add_each(day.kinds, of.kinds)
                day.attempts += of.attempts
                day.failures += of.failures
                day.scored += of.scored
                day.score_sum += of.score_sum
                day.score_bins = add_lists(day.score_bins, of.score_bins or ())
        before = None
        for number in sorted({number for place in places for number in place.panes}):
            add_one(self._pane(number).gaps, windows.gap(number, before), 1)
            before = number

    @property
    def is_changed(self) -> bool:
        return bool(self.changed_panes or self.changed_hours or self.changed_now)

    def partials(self, partition: int, offset: int, event_time_ms: int, complete_from_ms: int) -> Iterator[Partial]:
        """What has changed since the last call; of that, what is complete: nothing at or behind it was dropped. One as
        a rule, several where a year is replayed in a second."""
        self._rest(pane_of(event_time_ms) - MINUTE_PANES)
        pane, hour, day = pane_of(complete_from_ms), complete_from_ms // HOUR_MS, complete_from_ms // DAY_MS
        panes = [number for number in self.changed_panes if number >= pane]
        hours = [number for number in self.changed_hours if number >= hour and number in self.hours]
        days = [number for number in {number // HOURS_A_DAY for number in hours} if number >= day]
        now = self._now(event_time_ms) if self.changed_now else None
        self.changed_panes.clear()
        self.changed_hours.clear()
        self.changed_now = False
        for first in range(0, max(len(panes), len(hours), 1), WINDOWS_MAX):
            part = slice(first, first + WINDOWS_MAX)
            yield Partial(
                scope=self.scope,
                partition=partition,
                offset=offset,
                event_time_ms=event_time_ms,
                panes={number: self.panes[number] for number in panes[part]},
                hours={number: self.hours[number] for number in hours[part]},
                days={number: self.days[number] for number in days[part]},
                now=now if first == 0 else None,
            )

    def _now(self, event_time_ms: int) -> NowCounts:
        """Without those of whom it says nothing any more."""
        head = pane_of(event_time_ms)
        seen = {pane: number for pane, number in self.now.seen.items() if pane > head - PRESENT_PANES}
        failing = {pane: number for pane, number in self.now.struggling.items() if pane > head - STRUGGLING_PANES}
        waiting = {at_ms: number for at_ms, number in self.now.waiting.items() if at_ms > event_time_ms - HELP_OPEN_MS}
        return NowCounts(seen, waiting, failing)

    def drop(self, kept_from_ms: int) -> bool:
        """Drops what is older; True where nothing is left."""
        first = pane_of(kept_from_ms)
        self.panes = {pane: of for pane, of in self.panes.items() if pane >= first}
        self._resting.keep(range(first // BLOCK, sys.maxsize))
        self.hours = {hour: of for hour, of in self.hours.items() if hour >= kept_from_ms // HOUR_MS}
        self.days = {day: of for day, of in self.days.items() if day >= kept_from_ms // DAY_MS}
        return not (self.panes or self._resting or self.days or self.students)

    def _pane(self, number: int) -> PaneCounts:
        """A new one where there is none."""
        counts = self.panes.get(number)
        if counts is None:
            self.panes.update(self._resting.take(number))
            counts = _at(self.panes, same_number(number), PaneCounts)
        return counts

    def _rest(self, before: int) -> None:
        resting = [number for number in self.panes if number < before and number not in self.changed_panes]
        if resting:
            self._resting.add([(number, self.panes.pop(number)) for number in resting])


def _at(held: dict[int, CountsT], number: int, new: Callable[[], CountsT]) -> CountsT:
    """Those of a window, new ones where it has none."""
    counts = held.get(number)
    if counts is None:
        counts = held[number] = new()
    return counts


class Counters:
    """Events of one course and team that are not in the sums yet."""

    __slots__ = ("hours", "panes", "pending", "scopes")

    def __init__(self, scopes: Sequence[Sums], pending: "list[Counters]") -> None:
        self.scopes = scopes  # of the school, the course, and the team where there is one
        self.pending = pending  # those that hold something
        self.panes: dict[int, int] = {}  # pane → packed
        self.hours: dict[int, int] = {}  # hour → packed

    def add(self, pane: int, hour: int, counted: int) -> None:
        if not self.panes:
            self.pending.append(self)
        self.panes[pane] = self.panes.get(pane, 0) + lanes.outcome(counted)
        self.hours[hour] = self.hours.get(hour, 0) + counted


def settle(pending: Iterable[Counters]) -> None:
    """Carries the counters into their scopes' sums, with one addition for each scope."""
    by_scope: dict[Sums, tuple[dict[int, int], dict[int, int]]] = {}
    for counters in pending:
        for sums in counters.scopes:
            if (of := by_scope.get(sums)) is None:
                of = by_scope[sums] = ({}, {})
            add_each(of[0], counters.panes)
            add_each(of[1], counters.hours)
        counters.panes = {}
        counters.hours = {}
    for sums, (panes, hours) in by_scope.items():
        sums.count_panes(panes.items())
        sums.count_hours(hours.items())


def _neighbours(places: Sequence[Place], pane: int) -> tuple[int | None, int | None]:
    """The nearest active panes before and behind `pane`, which is not one of them, and for which they are awake."""
    newest = max(place.newest_pane for place in places)
    if newest < pane:  # nearly always
        return (newest if newest >= 0 else None), None
    resting = [place.resting.last for place in places if place.resting is not None]
    return windows.neighbours(chain(resting, *(place.panes for place in places)), pane)
