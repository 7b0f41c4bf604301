"""Merge: the partials of all source partitions added up, scope by scope, into metric points. No client library; the
clock is an argument.

A partial is absolute and carries its source offset: one below the offset already held is ignored, an equal one says
the same again, so a replay changes nothing and a value never steps back.
"""

from collections.abc import Iterable, Mapping

import msgspec

from pipelines.aggregate import windows
from pipelines.aggregate.windows import DAY_MS, MINUTE_PANES, PANE_MS, pane_of
from wire.metrics import WINDOW_S, Metric, MetricPoint, ScopeUpdate
from wire.partials import DISTINCT_PANES, PANE_S, PaneCounts, Partial

IDLE_MS = 5_000  # quiet for so long, event time goes on as the wall clock does: live values fall to 0 in an empty room
# A source partition that lags behind the others (a backlog is read partition by partition) must still find what they
# said of an old pane, or its sum would be too low. A student's too: event time is that of all partitions, his may lag.
# Longer than any backlog is expected to take.
KEEP_MS = 2 * 3_600_000
# Nobody waits in the scope, and nothing was said of it for so long: whoever speaks of it again says all there is.
NOW_KEEP_MS = DAY_MS
SWEEP_MS = 30_000  # looking for what can be dropped reads every window held
POINTS_MAX = 1_000  # of one update: about 200 KB. A week replayed in a second changes thousands, and Kafka takes 1 MB


class Held(msgspec.Struct, array_like=True):
    """What each source partition said of one scope's window; the record of the changelog."""

    home: int  # partition of `partials`
    panes: dict[int, tuple[int, PaneCounts]] = {}  # source partition → (offset, counts)
    kinds: dict[int, tuple[int, dict[str, int]]] = {}
    waiting: dict[int, tuple[int, int]] = {}  # source partition → (offset, students waiting for help)
    event_time_ms: int = 0


class Window(msgspec.Struct, frozen=True, array_like=True):
    """The key of a Held: a pane or a day of a scope, or what has no window (kind "now", number 0). Of each partition of
    `partials` there is also one of kind "clock", whose scope is the partition's number: see `Merge.clock`."""

    scope: str
    kind: str
    number: int


encode_key = msgspec.json.Encoder().encode
decode_key = msgspec.json.Decoder(Window).decode


class _Scope:
    """One scope's sums, and which of its windows are to be told."""

    def __init__(self) -> None:
        self.panes: dict[int, PaneCounts] = {}
        self.days: dict[int, dict[str, int]] = {}
        self.waiting = 0
        self.minutes_due: set[int] = set()  # windows that end with these panes
        self.kinds_due: set[tuple[int, str]] = set()
        self.changed = False
        self.last_pane = 0  # nothing of it is newer: when the head is far enough beyond, all its live values are 0


class Merge:
    """One partition of `partials`."""

    def __init__(self, home: int, lateness_ms: int) -> None:
        self._home = home
        self._clock = Window(str(home), "clock", 0)
        self._lateness_ms = lateness_ms
        self._held: dict[Window, Held] = {}
        self._touched_ms: dict[Window, int] = {}  # wall clock
        self._scopes: dict[str, _Scope] = {}
        self._changed: set[Window] = set()
        self._awake: set[str] = set()  # scopes with something to tell, now or as time goes on
        self._swept_at_ms = 0  # wall clock
        self._event_time_ms = 0
        self._event_time_at_ms = 0  # wall clock when it last moved
        self._now_ms = 0  # event time as last told: with what the wall clock added while it was quiet
        self._head = 0

    @classmethod
    def restore(cls, home: int, lateness_ms: int, stored: Mapping[Window, Held], wall_ms: int) -> "Merge":
        self = cls(home, lateness_ms)
        self._held = dict(stored)
        clock = self._held.pop(self._clock, None)
        self._touched_ms = dict.fromkeys(self._held, wall_ms)
        for window in self._held:
            self._add_up(window)
        self._event_time_ms = max((held.event_time_ms for held in self._held.values()), default=0)
        self._now_ms = max(self._event_time_ms, clock.event_time_ms if clock else 0)
        self._event_time_at_ms = wall_ms - (self._now_ms - self._event_time_ms)  # it goes on from what was told
        self._head = pane_of(self._now_ms)
        self._awake = set(self._scopes)  # their values go on falling as time passes
        # What was due by the windows' own event time was told before they were written; by the clock's, perhaps not.
        told = pane_of(self._event_time_ms)
        for window in self._held:
            if window.kind == "pane":
                self._scopes[window.scope].minutes_due.update(end for end in _minutes(window.number) if end > told)
        return self

    @property
    def scopes(self) -> set[str]:
        """Those it keeps anything of."""
        return set(self._scopes)

    def apply(self, partial: Partial, wall_ms: int) -> None:
        """Takes in one partial; `updates` tells what it changed."""
        source, offset = partial.partition, partial.offset
        if partial.event_time_ms > self._event_time_ms:
            self._event_time_ms = partial.event_time_ms
            self._event_time_at_ms = wall_ms
        for pane, counts in partial.panes.items():
            window, held = self._hold(partial.scope, "pane", pane, wall_ms)
            if offset >= held.panes.get(source, (-1,))[0]:
                held.panes[source] = (offset, counts)
                self._note(window, partial.event_time_ms)
        for day, kinds in partial.days.items():
            window, held = self._hold(partial.scope, "day", day, wall_ms)
            if offset >= held.kinds.get(source, (-1,))[0]:
                held.kinds[source] = (offset, kinds)
                self._note(window, partial.event_time_ms)
        window, held = self._hold(partial.scope, "now", 0, wall_ms)
        if offset >= held.waiting.get(source, (-1,))[0]:
            held.waiting[source] = (offset, partial.help_open)
            self._note(window, partial.event_time_ms)

    def _hold(self, scope: str, kind: str, number: int, wall_ms: int) -> tuple[Window, Held]:
        window = Window(scope, kind, number)
        self._touched_ms[window] = wall_ms
        held = self._held.get(window)
        if held is None:
            held = self._held[window] = Held(self._home)
        return window, held

    def _note(self, window: Window, event_time_ms: int) -> None:
        held = self._held[window]
        held.event_time_ms = max(held.event_time_ms, event_time_ms)
        self._changed.add(window)
        self._add_up(window)
        scope = self._scopes[window.scope]
        scope.changed = True
        self._awake.add(window.scope)
        if window.kind == "pane":
            scope.minutes_due.update(_minutes(window.number))

    def _add_up(self, window: Window) -> None:
        """Makes the scope's sum of this window anew from what is held."""
        held = self._held[window]
        scope = self._scopes.get(window.scope)
        if scope is None:
            scope = self._scopes[window.scope] = _Scope()
        match window.kind:
            case "pane":
                total = PaneCounts()
                for _, counts in held.panes.values():
                    windows.add(total, counts)
                scope.panes[window.number] = total
                scope.last_pane = max(scope.last_pane, window.number)
            case "day":
                kinds: dict[str, int] = {}
                for _, by_kind in held.kinds.values():
                    for kind, number in by_kind.items():
                        kinds[kind] = kinds.get(kind, 0) + number
                before = scope.days.get(window.number, {})
                scope.days[window.number] = kinds
                scope.kinds_due.update((window.number, kind) for kind in kinds if kinds[kind] != before.get(kind))
            case _:
                scope.waiting = sum(number for _, number in held.waiting.values())

    def updates(self, wall_ms: int) -> list[ScopeUpdate]:
        """What has changed since the last call, and what the passing of time has changed; newest window last."""
        now_ms = self._now_ms = self._time(wall_ms)
        head = max(self._head, pane_of(now_ms))
        moved, self._head = head > self._head, head
        out = []
        for name in sorted(self._awake):
            scope = self._scopes[name]
            if moved or scope.changed:
                scope.changed = False
                points = list(self._points(scope, now_ms, head))
                chunks = (points[first : first + POINTS_MAX] for first in range(0, len(points), POINTS_MAX))
                out += [ScopeUpdate(scope=name, points=chunk) for chunk in chunks]
            # After its last pane a scope is told of until every window has slid over it, and so has reached 0.
            if head > scope.last_pane + DISTINCT_PANES + MINUTE_PANES:
                self._awake.remove(name)
        return out

    def _time(self, wall_ms: int) -> int:
        """Event time, carried on by the wall clock while it is quiet."""
        quiet_ms = wall_ms - self._event_time_at_ms
        # After a quiet time the next event may lie behind what the wall clock made of it. Told time does not go back:
        # who keeps the newest would take the older value for it.
        return max(self._now_ms, self._event_time_ms + (quiet_ms if quiet_ms > IDLE_MS else 0))

    def _points(self, scope: _Scope, now_ms: int, head: int) -> Iterable[MetricPoint]:
        for day, kind in sorted(scope.kinds_due):
            number = scope.days[day][kind]
            yield _point(Metric.EVENTS_BY_KIND, day * DAY_MS, number, number, now_ms, label=kind)
        scope.kinds_due.clear()
        ready = {end for end in scope.minutes_due if end <= head}
        scope.minutes_due -= ready
        for end in sorted(ready | {head}):
            yield from _window_points(scope, end, now_ms)
        # No history of its own: the number waiting is told with the minute it was seen in.
        minute = windows.minute_end(head) - MINUTE_PANES + 1
        yield _point(Metric.HELP_REQUESTS_OPEN, minute * PANE_MS, scope.waiting, scope.waiting, now_ms)

    def clock(self, wall_ms: int) -> dict[Window, Held | None]:
        """What must lie in the changelog before `updates` of that time are sent, so that told time does not go back
        after a kill: how far the wall clock has carried event time beyond what the windows' own records say."""
        now_ms = self._time(wall_ms)
        if now_ms <= self._event_time_ms:
            return {}
        return {self._clock: Held(self._home, event_time_ms=now_ms)}

    def changes(self, wall_ms: int) -> dict[Window, Held | None]:
        """The windows to be written to the changelog since the last call; None: dropped."""
        out: dict[Window, Held | None] = {window: self._held[window] for window in self._changed}
        self._changed = set()
        if wall_ms - self._swept_at_ms < SWEEP_MS:
            return out
        self._swept_at_ms = wall_ms
        keep_from_ms = self._event_time_ms - self._lateness_ms - DISTINCT_PANES * PANE_MS
        for window in [window for window in self._touched_ms if self._is_done(window, keep_from_ms, wall_ms)]:
            del self._touched_ms[window], self._held[window]
            scope = self._scopes[window.scope]
            match window.kind:
                case "pane":
                    del scope.panes[window.number]
                case "day":
                    del scope.days[window.number]
            out[window] = None
        for name in [name for name, scope in self._scopes.items() if self._is_over(name, scope)]:
            del self._scopes[name]
        return out

    def _is_done(self, window: Window, keep_from_ms: int, wall_ms: int) -> bool:
        untouched_ms = wall_ms - self._touched_ms[window]
        if window.kind == "now":
            waiting = any(number for _, number in self._held[window].waiting.values())
            return not waiting and untouched_ms > NOW_KEEP_MS
        if (window.number + 1) * (PANE_MS if window.kind == "pane" else DAY_MS) > keep_from_ms:
            return False
        return untouched_ms > KEEP_MS

    def _is_over(self, name: str, scope: _Scope) -> bool:
        """Nothing is held of it, and nothing of it is still to be told."""
        return not (scope.panes or scope.days or name in self._awake or Window(name, "now", 0) in self._held)


def _minutes(pane: int) -> range:
    """The last panes of the windows that history has with this pane in them: they end on a whole minute, so the pane is
    in one of a minute and in five of 5 minutes."""
    first = windows.minute_end(pane)
    return range(first, first + DISTINCT_PANES, MINUTE_PANES)


def _window_points(scope: _Scope, end: int, now_ms: int) -> Iterable[MetricPoint]:
    """The values of the windows that end with pane `end`."""
    minute, _ = windows.total(scope.panes, end, WINDOW_S[Metric.EVENTS_PER_MINUTE] // PANE_S)
    five, active = windows.total(scope.panes, end, WINDOW_S[Metric.ACTIVE_STUDENTS] // PANE_S)
    yield _ending(Metric.EVENTS_PER_MINUTE, end, minute.events, minute.events, now_ms)
    yield _ending(Metric.ACTIVE_STUDENTS, end, active, five.events, now_ms)
    rate = five.failures / five.attempts if five.attempts else 0.0
    yield _ending(Metric.ERROR_RATE, end, rate, five.attempts, now_ms)


def _ending(metric: Metric, end: int, value: float, n: int, now_ms: int) -> MetricPoint:
    return _point(metric, windows.end_ms(end) - WINDOW_S[metric] * 1000, value, n, now_ms)


def _point(metric: Metric, start_ms: int, value: float, n: int, now_ms: int, label: str = "") -> MetricPoint:
    return MetricPoint(
        metric=metric,
        label=label,
        window_s=WINDOW_S[metric],
        start_ms=start_ms,
        value=float(value),
        n=n,
        as_of_ms=now_ms,
    )
