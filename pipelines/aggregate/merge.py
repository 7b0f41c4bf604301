"""Merge: the partials of all source partitions added up, scope by scope, into metric points. No client library; the
clock is an argument.

A partial is absolute and carries its source offset: one below the offset already held is ignored, an equal one says
the same again, so a replay changes nothing and a value never steps back.
"""

import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from pipelines.aggregate import windows
from pipelines.aggregate.clock import Clock, Kept, Timekeeper
from pipelines.aggregate.compact import same_number
from pipelines.aggregate.ledger import BySource, Ledger, Panes
from pipelines.aggregate.points import Reading
from pipelines.aggregate.telling import Passage, Teller, in_parcels
from pipelines.aggregate.windows import DAY_MS, HOUR_MS, LONGEST_WINDOW_MS, PANE_MS, pane_of
from wire import probe
from wire.metrics import ScopeUpdate
from wire.partials import DayCounts, HourCounts, NowCounts, PaneCounts, Partial, Progress, Said
from wire.probe import Echo
from wire.scopes import Scope

# By event time a window changes no more; it is still kept until the wall clock finds it untouched for so long. A source
# partition that wakes behind the others, or whose backlog is read after theirs, must find what they said of it.
KEEP_MS = 2 * HOUR_MS
# A source partition that stands still holds back the watermark, and what it would close is kept. Not for ever: memory
# grows with it. By event time.
STALLED_MS = 6 * HOUR_MS
# Nobody waits in the scope, and nothing was said of it for so long: whoever speaks of it again says all there is.
NOW_KEEP_MS = DAY_MS
SWEEP_MS = 30_000  # looking for what can be dropped reads every window held


class Held(msgspec.Struct, array_like=True, gc=False):
    """The record of the changelog: what each source partition said of one scope's window, under its kind."""

    home: int  # partition of `partials`
    panes: bytes = b""  # BySource[PaneCounts], packed
    hours: BySource[HourCounts] | None = None
    days: BySource[DayCounts] | None = None
    now: BySource[NowCounts] | None = None
    time: Kept | None = None
    dropped_ms: int = 0


class Window(msgspec.Struct, frozen=True, array_like=True):
    """The key of a Held: a pane, hour or day of a scope, or what has no window (kind "now", number 0). Of each
    partition of `partials` there is also one of kind "clock", whose scope is the partition's number."""

    scope: str
    kind: str
    number: int


encode_key = msgspec.json.Encoder().encode
decode_key = msgspec.json.Decoder(Window).decode

_WINDOW_MS = {"pane": PANE_MS, "hour": HOUR_MS, "day": DAY_MS}
_FIELDS = {"pane": "panes", "hour": "hours", "day": "days", "now": "now"}
_NOBODY = NowCounts()


class _Scope:
    """One scope as a View, and which of its windows are to be told."""

    def __init__(self, name: str) -> None:
        self.kind = Scope.parse(name).kind
        self.teller = Teller()
        self.by_pane = Panes()
        self.by_hour = Ledger(HourCounts)
        self.by_day = Ledger(DayCounts)
        self.standing = Ledger(NowCounts)
        self.ledgers: dict[str, Ledger[Any]] = {
            "pane": self.by_pane,
            "hour": self.by_hour,
            "day": self.by_day,
            "now": self.standing,
        }

    def window(self, last_pane: int, width: int) -> tuple[PaneCounts, int]:
        return windows.total(self.by_pane, last_pane, width)

    @property
    def panes(self) -> Collection[int]:
        return self.by_pane.touched_ms

    @property
    def hours(self) -> Collection[int]:
        return self.by_hour.sums

    @property
    def days(self) -> Collection[int]:
        return self.by_day.sums

    @property
    def now(self) -> NowCounts:
        return self.standing.sums.get(0, _NOBODY)

    def hour(self, number: int) -> HourCounts | None:
        return self.by_hour.sums.get(number)

    def day(self, number: int) -> DayCounts | None:
        return self.by_day.sums.get(number)

    def news(self, window: int, readings: Iterable[Reading]) -> list[Reading]:
        return self.teller.news(window, readings)

    def add_up(self) -> None:
        panes, hours, days = self.by_pane.add_up(), self.by_hour.add_up(), self.by_day.add_up()
        now = bool(self.standing.add_up())
        if panes or hours or days or now:
            self.teller.changed(panes, hours, days, now)

    @property
    def is_held(self) -> bool:
        return any(ledger.touched_ms for ledger in self.ledgers.values())


class Merge:
    """One partition of `partials`."""

    def __init__(self, home: int, sources: Collection[int], lateness_ms: int, grace_ms: int) -> None:
        """`sources`: the partitions of `activity`."""
        self.time = Timekeeper(sources, grace_ms)
        self.new_panes = 0  # of scopes, since `updates`
        self.refused = 0  # windows that came too late: the sum of what the others said of them is not held any more
        self._home = home
        self._lateness_ms = lateness_ms
        self._scopes: dict[str, _Scope] = {}
        self._probed: list[ScopeUpdate] = []  # to be told
        self._unwritten: set[str] = set()
        self._changed: set[str] = set()
        self._awake: set[str] = set()  # scopes with something to tell, now or as time goes on
        self._swept_at_ms = 0  # wall clock
        self._dropped_ms = 0  # windows that end no later may have been dropped
        self._clock = Held(home)  # as last written
        self._told = Clock(0, 0, 0)  # by which everything has been told
        self._kept_closed_ms = 0  # what ended by then an earlier life may have told as final

    @classmethod
    def restore(
        cls,
        home: int,
        sources: Collection[int],
        lateness_ms: int,
        grace_ms: int,
        stored: Mapping[Window, Held],
        wall_ms: int,
    ) -> "Merge":
        self = cls(home, sources, lateness_ms, grace_ms)
        kept = Kept()
        panes: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
        for window, held in stored.items():
            if window.kind == "clock":
                self._clock, self._dropped_ms, kept = held, held.dropped_ms, held.time or kept
            elif window.kind == "pane":
                panes[window.scope][same_number(window.number)] = held.panes
            else:
                ledger = self._scope(window.scope).ledgers[window.kind]
                ledger.restore(window.number, getattr(held, _FIELDS[window.kind]), wall_ms)
        for name, written in panes.items():
            self._scope(name).by_pane.restore_written(written, wall_ms)
        self.time = Timekeeper.restore(sources, grace_ms, kept, wall_ms)
        self._told = Clock(kept.told_ms, 0, kept.told_closed_ms)
        self._kept_closed_ms = kept.closed_ms
        for name, scope in self._scopes.items():
            for ledger in scope.ledgers.values():
                ledger.add_up()
            scope.teller.restore(scope)
            if not scope.teller.asleep(self._told):
                self._awake.add(name)
        return self

    @property
    def scopes(self) -> set[str]:
        """Those it keeps anything of."""
        return set(self._scopes)

    def apply(self, said: Said, wall_ms: int) -> None:
        """Takes in what a source partition says; `updates` tells what it changed. Raises ValueError, with nothing taken
        in, where the scope is none."""
        if isinstance(said, Progress):
            self.time.progress(said.partition, said.offset, said.event_time_ms, said.idle, wall_ms)
            return
        if isinstance(said, Echo):
            self._probed.append(probe.update(said, wall_ms))
            return
        scope = self._scope(said.scope)
        self.time.heard(said.partition, said.offset, said.event_time_ms, wall_ms)
        stale = scope.by_pane.stale
        self._take(scope.by_pane, PANE_MS, said.panes, said, wall_ms)
        self.new_panes += scope.by_pane.stale - stale
        self._take(scope.by_hour, HOUR_MS, said.hours, said, wall_ms)
        self._take(scope.by_day, DAY_MS, said.days, said, wall_ms)
        if said.now is not None:
            scope.standing.take(0, said.partition, said.offset, said.now, wall_ms)
        self._changed.add(said.scope)
        self._awake.add(said.scope)
        self._unwritten.add(said.scope)

    def _scope(self, name: str) -> _Scope:
        scope = self._scopes.get(name)
        if scope is None:
            scope = self._scopes[name] = _Scope(name)
        return scope

    def _take(
        self, ledger: Ledger[Any], window_ms: int, counts: Mapping[int, Any], said: Partial, wall_ms: int
    ) -> None:
        for number, of in counts.items():
            # Of one that was dropped this source alone would say too little, and that would be told as the whole.
            if (number + 1) * window_ms <= self._dropped_ms and number not in ledger.touched_ms:
                self.refused += 1
            else:
                ledger.take(same_number(number), said.partition, said.offset, of, wall_ms)

    def updates(self) -> list[ScopeUpdate]:
        """What has changed since the last call, and what the passing of time has changed; newest window last."""
        passage = Passage(self._told, self.time.clock, self._kept_closed_ms)
        out, self._probed = self._probed, []
        for name in sorted(self._awake if passage.moved or passage.closes else self._changed):
            scope = self._scopes[name]
            if name in self._changed:
                scope.add_up()
            out += in_parcels(name, scope.teller.points(scope, passage))
            if scope.teller.asleep(passage.clock):
                self._awake.discard(name)
        self._changed.clear()
        self.new_panes = 0
        self._told = passage.clock
        return out

    def changes(self, wall_ms: int, settled_ms: int | None = None) -> dict[Window, Held | None]:
        """What is to be written to the changelog since the last call; None: dropped. To be called when everything has
        been told; when it is committed, `time.advance` is to be called. `settled_ms`: no event before it comes any
        more, of any source; None: that is not known, and clocks decide what may be dropped."""
        out: dict[Window, Held | None] = {}
        for name in self._unwritten:
            for kind, ledger in self._scopes[name].ledgers.items():
                for number in ledger.unwritten:
                    said = {_FIELDS[kind]: ledger.written(number)}
                    out[Window(name, kind, number)] = Held(self._home, **said)
                ledger.unwritten.clear()
        self._unwritten.clear()
        if wall_ms - self._swept_at_ms >= SWEEP_MS:
            self._swept_at_ms = wall_ms
            out.update(dict.fromkeys(self._sweep(wall_ms, settled_ms)))
        kept = self.time.promise(wall_ms, self._told)
        if kept is not None or self._dropped_ms > self._clock.dropped_ms:
            self._clock = Held(self._home, time=kept or self._clock.time, dropped_ms=self._dropped_ms)
            out[Window(str(self._home), "clock", 0)] = self._clock
        return out

    def _sweep(self, wall_ms: int, settled_ms: int | None) -> list[Window]:
        """Drops what nobody can change any more."""
        told = self._told
        # What is not closed is still to be told as final, and made of the panes of the longest window before.
        if settled_ms is None:
            by_clocks_ms = min(told.watermark_ms - self._lateness_ms, told.closed_ms)
            bound_ms = max(by_clocks_ms, told.now_ms - STALLED_MS) - LONGEST_WINDOW_MS
            untouched_ms = wall_ms - KEEP_MS
        else:
            bound_ms = min(settled_ms, told.closed_ms) - LONGEST_WINDOW_MS
            untouched_ms = sys.maxsize
        out: list[Window] = []
        for name, scope in list(self._scopes.items()):
            dropped_ms = 0
            for kind, window_ms in _WINDOW_MS.items():
                ledger = scope.ledgers[kind]
                for number, touched_ms in list(ledger.touched_ms.items()):
                    end_ms = (number + 1) * window_ms
                    if end_ms <= bound_ms and touched_ms < untouched_ms:
                        ledger.drop(number)
                        out.append(Window(name, kind, number))
                        dropped_ms = max(dropped_ms, end_ms)
            scope.by_pane.rest(wall_ms - SWEEP_MS, pane_of(told.closed_ms - LONGEST_WINDOW_MS))
            if dropped_ms:
                scope.teller.forget(dropped_ms)
                self._dropped_ms = max(self._dropped_ms, dropped_ms)
            if wall_ms - scope.standing.touched_ms.get(0, wall_ms) > NOW_KEEP_MS and not scope.now.waiting:
                scope.standing.drop(0)
                out.append(Window(name, "now", 0))
            if not scope.is_held and name not in self._awake:
                del self._scopes[name]
        return out
