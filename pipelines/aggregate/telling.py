"""Which windows of a scope are to be told, and as what: provisional, final or corrected. Pure.

Nothing is noted of a window. What is to be told follows from what has changed since all was told last, and from how far
time had come then and has come now: a window with an event in it is told when the newest pane reaches its end, when it
is closed, and when it changes after that; hours and days also while they fill.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from pipelines.aggregate import points, windows
from pipelines.aggregate.clock import Clock
from pipelines.aggregate.points import HELP_OPEN_MS, PRESENT_PANES, STRUGGLING_PANES, Counted, Reading, point
from pipelines.aggregate.windows import DAY_MS, HOUR_MS, LONGEST_WINDOW_MS, MINUTE_MS, MINUTE_PANES, pane_of
from wire.metrics import MetricPoint, ScopeUpdate, State
from wire.partials import DISTINCT_PANES, DayCounts, HourCounts, NowCounts
from wire.scopes import ScopeKind

POINTS_MAX = 1_000  # of one update: about 200 KB. A week replayed in a second changes thousands, and Kafka takes 1 MB

# A window as an int: its end, and which of these it is. So windows sort by their end.
DAY, HOUR, FIVE_MINUTES, MINUTE = range(4)
WIDTHS = 4
_LENGTH_MS = (DAY_MS, HOUR_MS, LONGEST_WINDOW_MS, MINUTE_MS)

_FEW = 10  # minutes are looked at one by one; of more, those in which something happened


class View(Protocol):
    """What a scope's values are made of, and what was told of it."""

    @property
    def kind(self) -> ScopeKind: ...

    @property
    def panes(self) -> Iterable[int]: ...

    @property
    def hours(self) -> Collection[int]: ...

    @property
    def days(self) -> Collection[int]: ...

    @property
    def now(self) -> NowCounts: ...

    def window(self, last_pane: int, width: int) -> tuple[Counted, int]:
        """Sums and distinct students of the window of `width` panes that ends with `last_pane`."""

    def hour(self, number: int) -> HourCounts | None: ...

    def day(self, number: int) -> DayCounts | None: ...

    def news(self, window: int, readings: Sequence[Reading]) -> Iterable[Reading]:
        """Those that were not said when it was asked last of this window. They will be told."""


class Passage:
    """Of time: from when everything was told last, to now."""

    def __init__(self, told: Clock, clock: Clock, kept_closed_ms: int = 0) -> None:
        """`kept_closed_ms`: an earlier life may have told as final what ends no later."""
        self.told = told
        self.clock = clock
        self.told_head, self.head = told.head, clock.head
        self.head_end_ms = windows.end_ms(self.head)
        self.moved = self.head > self.told_head
        self.closes = clock.closed_ms > told.closed_ms
        self.closes_a_day = clock.closed_ms // DAY_MS > told.closed_ms // DAY_MS
        self._corrects_ms = max(told.closed_ms, kept_closed_ms)
        # Ends of the minutes that the newest pane has reached, and that have been closed.
        self._reached = _minutes(windows.end_ms(self.told_head), self.head_end_ms)
        self._closed = _minutes(told.closed_ms, clock.closed_ms)
        few = len(self._reached) + len(self._closed) <= _FEW
        self._few = (*self._reached, *self._closed) if few else None
        self.last_whole_pane = self.head_end_ms // MINUTE_MS * MINUTE_PANES - 1  # of a minute that is over

    def minutes(self, view: View) -> Iterable[int]:
        """The ends of minutes with which windows may have to be told."""
        if self._few is not None:
            return self._few
        minutes = {pane // MINUTE_PANES for pane in view.panes}
        ends = {end_ms for minute in minutes for end_ms in _ends_ms(minute)}
        return [end_ms for end_ms in ends if end_ms in self._reached or end_ms in self._closed]

    def has_closed(self, end_ms: int) -> bool:
        return self.told.closed_ms < end_ms <= self.clock.closed_ms

    def state(self, end_ms: int, *, changed: bool) -> State:
        if end_ms > self.clock.closed_ms:
            return State.PROVISIONAL
        return State.CORRECTED if changed and end_ms <= self._corrects_ms else State.FINAL


def told(
    view: View,
    passage: Passage,
    panes: Iterable[int],
    hours: Iterable[int],
    days: Iterable[int],
    live: bool,
    whole_from_ms: int = 0,
) -> list[MetricPoint]:
    """What is to be told now. Of a metric the newest window is last.

    `panes`, `hours`, `days`: what has changed since it was told. `live`: what slides, and how students stand, may have
    too. `whole_from_ms`: windows that reach behind it lack a part.
    """
    clock, head_end_ms = passage.clock, passage.head_end_ms
    out: list[MetricPoint] = []
    for window, state in _minutes_due(view, passage, panes):
        end_ms, width = divmod(window, WIDTHS)
        if end_ms - _LENGTH_MS[width] < whole_from_ms or (live and end_ms == head_end_ms):
            continue  # or the newest, below
        counts, students = view.window(pane_of(end_ms) - 1, MINUTE_PANES if width == MINUTE else DISTINCT_PANES)
        if counts.events:  # else nothing has happened in it
            readings = points.minute(counts) if width == MINUTE else points.five_minutes(counts, students)
            out += [point(reading, end_ms, clock, state) for reading in readings]
    if view.kind is not ScopeKind.STUDENT and (hours or passage.closes):
        for end_ms, state in _periods_due(passage, view.hours, hours, HOUR_MS):
            if end_ms > whole_from_ms and (hour := view.hour(end_ms // HOUR_MS - 1)):
                out += _of_period(view, end_ms, HOUR, points.hour(hour), clock, state)
    if days or passage.closes:
        for end_ms, state in _periods_due(passage, view.days, days, DAY_MS):
            if end_ms > whole_from_ms and (day := view.day(end_ms // DAY_MS - 1)):
                out += _of_period(view, end_ms, DAY, points.day(day, view.kind), clock, state)
    if live:
        minute, _ = view.window(passage.head, MINUTE_PANES)
        five, students = view.window(passage.head, DISTINCT_PANES)
        readings = points.sliding(minute, five, students)
        out += [point(reading, head_end_ms, clock, State.PROVISIONAL) for reading in readings]
        # No history of its own: it is told with the minute it was seen in; what has not changed, once a minute.
        end_ms = windows.end_ms(windows.minute_end(passage.head))
        readings = points.now(view.now, clock.now_ms, passage.head)
        out += _of_period(view, end_ms, MINUTE, readings, clock, State.PROVISIONAL)
    return out


def _minutes_due(view: View, passage: Passage, panes: Iterable[int]) -> list[tuple[int, State]]:
    """Of what history has that is made of panes: windows as ints."""
    due: dict[int, State] = {}
    for end_ms in passage.minutes(view):
        due[end_ms * WIDTHS + MINUTE] = due[end_ms * WIDTHS + FIVE_MINUTES] = passage.state(end_ms, changed=False)
    # What ends later is told when the newest pane has reached it.
    for minute in {pane // MINUTE_PANES for pane in panes if pane <= passage.last_whole_pane}:
        ends_ms = _ends_ms(minute)
        due[ends_ms[0] * WIDTHS + MINUTE] = passage.state(ends_ms[0], changed=True)
        for end_ms in ends_ms:
            if end_ms <= passage.head_end_ms:
                due[end_ms * WIDTHS + FIVE_MINUTES] = passage.state(end_ms, changed=True)
    return sorted(due.items())


def _periods_due(
    passage: Passage, numbers: Iterable[int], changed: Iterable[int], length_ms: int
) -> list[tuple[int, State]]:
    """Of hours or days: their ends."""
    due: dict[int, State] = {}
    if passage.closes:
        ends_ms = [(number + 1) * length_ms for number in numbers]
        due = {end_ms: State.FINAL for end_ms in ends_ms if passage.has_closed(end_ms)}
    for end_ms in [(number + 1) * length_ms for number in changed]:
        due[end_ms] = passage.state(end_ms, changed=True)
    return sorted(due.items())


def _of_period(
    view: View, end_ms: int, width: int, readings: Sequence[Reading], clock: Clock, state: State
) -> list[MetricPoint]:
    """What is new of it, while it is open."""
    news = view.news(end_ms * WIDTHS + width, readings) if state is State.PROVISIONAL else readings
    return [point(reading, end_ms, clock, state) for reading in news]


class Teller:
    """Of one scope: what has changed of it since it was told, and what was told of it."""

    def __init__(self) -> None:
        self._panes: set[int] = set()
        self._hours: set[int] = set()
        self._days: set[int] = set()
        self._changed = False  # anything
        self._live = False  # a pane, or how students stand
        self._said: dict[int, dict[str, complex]] = {}  # window → label or else metric → value + n · i
        self._last_pane = -1
        self._moves_until = -1  # the last head with which time alone may change a live value
        self._last_end_ms = 0  # of all windows
        self._whole_from_ms = 0

    def restore(self, view: View) -> None:
        """What has been told of it the clock says that goes with it."""
        self._reach(view.panes, view.hours, view.days)
        self._moves_until = moves_until(self._last_pane, view.now)

    def changed(
        self, panes: Collection[int] = (), hours: Collection[int] = (), days: Collection[int] = (), now: bool = False
    ) -> None:
        self._panes.update(panes)
        self._hours.update(hours)
        self._days.update(days)
        self._changed = True
        self._live = self._live or now or bool(panes)
        self._reach(panes, hours, days)

    def points(self, view: View, passage: Passage) -> list[MetricPoint]:
        """What is to be told now. Of a metric the newest window is last."""
        if self._changed:
            self._moves_until = moves_until(self._last_pane, view.now)
        live = self._live or (passage.moved and passage.told_head <= self._moves_until)
        out = told(view, passage, self._panes, self._hours, self._days, live, self._whole_from_ms)
        if self._changed:
            self._panes, self._hours, self._days = set(), set(), set()
            self._changed = self._live = False
        if passage.closes:
            closed_ms = passage.clock.closed_ms
            self._said = {window: said for window, said in self._said.items() if window // WIDTHS > closed_ms}
        return out

    def asleep(self, clock: Clock) -> bool:
        """As time goes on nothing is left to tell. `clock`: by which it has been told."""
        # Of what is no longer kept nothing is told.
        closed = self._last_end_ms <= max(clock.closed_ms, self._whole_from_ms)
        return closed and not self._changed and clock.head > self._moves_until

    def forget(self, before_ms: int) -> None:
        """Of what ended by then nothing is kept any more: windows with a part of it are not told."""
        self._whole_from_ms = before_ms

    def news(self, window: int, readings: Iterable[Reading]) -> list[Reading]:
        """Those that were not said when it was asked last of this window."""
        before = self._said.get(window, {})
        said, news = {}, []
        for reading in readings:
            metric, label, value, n = reading
            said[label or metric] = of = complex(value, n)
            if before.get(label or metric) != of:
                news.append(reading)
        self._said[window] = said
        return news

    def _reach(self, panes: Iterable[int], hours: Iterable[int], days: Iterable[int]) -> None:
        self._last_pane = max(self._last_pane, max(panes, default=-1))
        of_hours, of_days = ((max(numbers, default=-1) + 1) * ms for numbers, ms in ((hours, HOUR_MS), (days, DAY_MS)))
        self._last_end_ms = max(self._last_end_ms, last_end_ms(self._last_pane), of_hours, of_days)


def moves_until(last_pane: int, now: NowCounts) -> int:
    """With a newer head every window has slid over the last pane, the minutes with it in are over, and whoever was seen
    or failed has been so too long ago."""
    return max(
        last_pane + DISTINCT_PANES + MINUTE_PANES,
        max(now.seen, default=-1) + PRESENT_PANES,
        max(now.struggling, default=-1) + STRUGGLING_PANES,
        pane_of(max(now.waiting, default=-1) + HELP_OPEN_MS),
    )


def last_end_ms(pane: int) -> int:
    """Of the windows that history has with this pane in them."""
    return _ends_ms(pane // MINUTE_PANES)[-1]


def in_parcels(scope: str, told: list[MetricPoint]) -> list[ScopeUpdate]:
    return [ScopeUpdate(scope=scope, points=told[at : at + POINTS_MAX]) for at in range(0, len(told), POINTS_MAX)]


def _minutes(after_ms: int, until_ms: int) -> range:
    """Their ends in between."""
    return range((after_ms // MINUTE_MS + 1) * MINUTE_MS, until_ms + 1, MINUTE_MS)


def _ends_ms(minute: int) -> range:
    """Of the windows that history has with this minute in them: one of a minute, and five of 5 minutes."""
    end_ms = (minute + 1) * MINUTE_MS
    return range(end_ms, end_ms + LONGEST_WINDOW_MS, MINUTE_MS)
