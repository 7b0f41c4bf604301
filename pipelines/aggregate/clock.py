"""How far event time has come: what is told as now, and the watermark that closes windows. Pure; the wall clock is an
argument.

- **Told time** is the highest event time. While nothing comes, the wall clock carries it on.
- **The watermark** is the least event time of the source partitions that are not idle: none of them is expected to say
  anything older. Where all are idle it is told time.
- **Closed** are the windows that end no later than the watermark less grace.

None of them goes back, not after a kill either: what the wall clock adds to told time, and what is closed, is told only
when it has been written, by `promise`, and `advance` says that this is committed.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from pipelines.aggregate.windows import PANE_MS, pane_of

IDLE_MS = 5_000  # quiet for so long, told time goes on as the wall clock does: live values fall to 0 in an empty room


class Clock(NamedTuple):
    """As it is told."""

    now_ms: int
    watermark_ms: int
    closed_ms: int  # windows that end no later are closed

    @property
    def head(self) -> int:
        """The newest pane, the one still filling."""
        return pane_of(self.now_ms)


class Source(msgspec.Struct, array_like=True):
    """How far a partition of `activity` is."""

    offset: int = -1
    event_time_ms: int = 0
    idle: bool = False


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """What a changelog keeps of it."""

    now_ms: int = 0
    watermark_ms: int = 0
    closed_ms: int = 0
    told_ms: int = 0  # told time and closed as they had been told by then: what they have made of values is known
    told_closed_ms: int = 0
    sources: dict[int, Source] = {}


class Timekeeper:
    def __init__(self, sources: Iterable[int], grace_ms: int) -> None:
        """`sources`: the partitions of `activity` that it hears of. One it has not heard of yet may say anything."""
        self._missing = set(sources)
        self._grace_ms = grace_ms
        self._sources: dict[int, Source] = {}
        self._event_time_ms = 0  # the highest
        self._moved_at_ms = 0  # wall clock when it last moved
        self._now_ms = 0
        self._watermark_ms = 0
        self._closed_ms = 0
        self._promised = (0, 0)  # told time and closed, as of the last promise
        self._written = Kept()

    @classmethod
    def restore(cls, sources: Iterable[int], grace_ms: int, kept: Kept, wall_ms: int) -> "Timekeeper":
        self = cls(sources, grace_ms)
        self._sources = {number: msgspec.structs.replace(source) for number, source in kept.sources.items()}
        self._missing -= self._sources.keys()
        self._now_ms, self._watermark_ms, self._closed_ms = kept.now_ms, kept.watermark_ms, kept.closed_ms
        self._promised = (kept.now_ms, kept.closed_ms)
        self._written = kept
        self._event_time_ms = max((source.event_time_ms for source in self._sources.values()), default=0)
        self._moved_at_ms = wall_ms - (self._now_ms - self._event_time_ms)  # it goes on from what was told
        return self

    @property
    def clock(self) -> Clock:
        return Clock(self._now_ms, self._watermark_ms, self._closed_ms)

    def heard(self, number: int, offset: int, event_time_ms: int, wall_ms: int) -> None:
        """Some of what a source says up to this offset: told time moves. The watermark waits for all of it."""
        self._move(event_time_ms, wall_ms)
        source = self._sources.get(number)
        if source is not None and source.idle and offset > source.offset:
            source.offset, source.idle = offset, False

    def progress(self, number: int, offset: int, event_time_ms: int, idle: bool, wall_ms: int) -> None:
        """All of what a source says up to this offset has been heard."""
        source = self._sources.get(number)
        if source is None:
            source = self._sources[number] = Source()
            self._missing.discard(number)
        if offset < source.offset:
            return
        source.offset, source.idle = offset, idle
        source.event_time_ms = max(source.event_time_ms, event_time_ms)
        self._move(event_time_ms, wall_ms)
        # At once, not when it is asked for: so it is the same after a replay, whenever that is asked.
        self._watermark_ms = self._watermark(self._now_ms)

    def promise(self, wall_ms: int, told: Clock) -> Kept | None:
        """What is to be committed now; None: what is there says it all. `told`: by which everything has been told."""
        now_ms = max(self._now_ms, self._carried(wall_ms))
        watermark_ms = self._watermark(now_ms)
        # Every window ends with a pane; finer steps would only be written more often.
        closed_ms = max(self._closed_ms, (watermark_ms - self._grace_ms) // PANE_MS * PANE_MS)
        self._promised = (now_ms, closed_ms)
        kept = Kept(now_ms, watermark_ms, closed_ms, told.now_ms, told.closed_ms, self._sources)
        if kept == self._written:
            return None
        sources = {number: msgspec.structs.replace(source) for number, source in self._sources.items()}
        self._written = msgspec.structs.replace(kept, sources=sources)
        return self._written

    def advance(self) -> bool:
        """What was promised is committed, and may be told. Says whether that is anything new."""
        before = (self._now_ms, self._closed_ms)
        now_ms, self._closed_ms = self._promised
        self._now_ms = max(self._now_ms, now_ms)
        self._watermark_ms = self._watermark(self._now_ms)
        return (self._now_ms, self._closed_ms) != before

    def _move(self, event_time_ms: int, wall_ms: int) -> None:
        if event_time_ms > self._event_time_ms:
            self._event_time_ms = event_time_ms
            self._moved_at_ms = wall_ms
            # After a quiet time it may lie behind what the wall clock made of it. Told time does not go back: who keeps
            # the newest would take the older value for it.
            self._now_ms = max(self._now_ms, event_time_ms)

    def _carried(self, wall_ms: int) -> int:
        quiet_ms = wall_ms - self._moved_at_ms
        if quiet_ms <= IDLE_MS or not self._event_time_ms:  # before the first event there is nothing to go on from
            return 0
        return (self._event_time_ms + quiet_ms) // PANE_MS * PANE_MS

    def _watermark(self, now_ms: int) -> int:
        if self._missing:
            return self._watermark_ms
        awake = [source.event_time_ms for source in self._sources.values() if not source.idle]
        return max(self._watermark_ms, min(awake, default=now_ms))
