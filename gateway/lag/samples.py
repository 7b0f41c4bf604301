"""What was seen of one group's place in one partition: a bounded window of samples, and the arithmetic on it. Pure.

Times are seconds of one clock that only goes forward. Records are counted by their offsets.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from wire.channels import HEARTBEAT_S

WINDOW_S = 120.0
GAPS_KEPT = 9  # times between two commits: enough for a median, soon forgotten
SILENT_S = 3 * HEARTBEAT_S
RHYTHM_GAPS = 3  # fewer say nothing of a rhythm
BLIND_S = 6.0  # without a sample
EVERY_S = 2.0  # from one sample to the next, as it should be
BLINDS_KEPT = 64  # of more the oldest are forgotten, and count as if it had been looked


class Phase(StrEnum):
    """Of the group, as its coordinator has it."""

    STABLE = "stable"
    REBALANCING = "rebalancing"
    EMPTY = "empty"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """What the worker that has the partition said of itself last."""

    worker_id: str
    silent_s: float  # since then
    reason: str = ""  # why it is not ready
    held_by: str = ""  # the store that is away
    paused: str = ""  # by whom, until when, and why
    progress_s: float | None = None  # since it finished a record last, of whatever partition; None: never

    @property
    def holds(self) -> bool:
        """It is paused, and still says so."""
        return bool(self.paused) and self.silent_s <= SILENT_S


class Gone(NamedTuple):
    """Who had the partition last."""

    worker_id: str
    silent_s: float  # since its last heartbeat
    left: bool  # it was asked to stop; else it was killed, or is frozen


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    at_s: float
    committed: int | None  # None: never
    position: int  # of the first unread record: `committed`, without the marks of transactions behind it
    first: int
    end: int  # the next record's offset; asked after `committed`, so never below it
    read_age_s: float | None = None  # age of the record at `position`; None: there is none, or it is not known
    owner: str = ""  # the member that has the partition; "": nobody
    phase: Phase = Phase.STABLE
    worker: Worker | None = None  # None: it is not known which
    gone: Gone | None = None  # where nobody has it, and it is known
    died_s: tuple[float, ...] = ()  # when workers of the group were last heard of that were not asked to stop
    mute: int = 0  # members of the group beyond the workers that send heartbeats
    deaf: str = ""  # why no heartbeats can be read
    store_away: str = ""  # its group's store, as it was asked from here

    @property
    def lag(self) -> int:
        """Records there are to read."""
        return max(0, self.end - max(self.position, self.first))

    @property
    def lost(self) -> int:
        """Records deleted before they were read."""
        return max(0, self.first - self.position)


class Window:
    """The samples of the last WINDOW_S, and what is to be remembered of those before."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque()
        self.began_s = 0.0  # watching
        self.seen_since_s = 0.0  # without a time in which nothing was seen
        self.moved_s = 0.0  # when a commit was last seen, or it was paused; before any, when watching began
        self.clear_s: float | None = None  # when nothing was unread
        self.arrived_s: float | None = None  # when the end was last seen to move
        self.owned_s = 0.0  # when it had an owner
        self.owner_since_s = 0.0
        self.phase_since_s = 0.0
        self.beyond_s: float | None = None  # since when it has stood behind the end
        self.rewound: tuple[int, int] | None = None  # from, to; until it is where it was
        self.arrived = 0  # records since it moved
        self.handovers = 0  # since it moved
        self._owner = ("", "")  # the last one: its member and, where known, its worker
        self._gaps: deque[float] = deque(maxlen=GAPS_KEPT)
        self._blind: deque[tuple[float, float]] = deque(maxlen=BLINDS_KEPT)  # until when nothing was seen, how long
        self._lost_before = 0  # in losses that are over

    def add(self, sample: Sample) -> None:
        """One that is no newer than the last is left out."""
        last = self.samples[-1] if self.samples else None
        if last is not None and sample.at_s <= last.at_s:
            return
        self._remember(sample, last)
        self.samples.append(sample)
        while self.samples[0].at_s < sample.at_s - WINDOW_S:
            self.samples.popleft()

    def _remember(self, sample: Sample, last: Sample | None) -> None:
        now = sample.at_s
        if last is None:
            self.began_s = self.moved_s = self.owned_s = self.owner_since_s = self.phase_since_s = now
        else:
            if now - last.at_s > BLIND_S:
                self._saw_nothing(now, now - last.at_s - EVERY_S)
            if sample.committed != last.committed:
                self._moved(sample, last)
            if sample.end != last.end:
                self.arrived_s = now
                self.arrived += max(0, sample.end - last.end)
            if sample.phase is not last.phase:
                self.phase_since_s = now
            if last.lost and not sample.lost:
                self._lost_before += last.lost
        if sample.worker is not None and sample.worker.holds:
            self.moved_s = now  # it was not to get on
            self.handovers = 0
        if sample.position <= sample.end:
            self.beyond_s = None
        elif self.beyond_s is None:
            self.beyond_s = now
        if not sample.lag:
            self.clear_s = now
            self.handovers = self.arrived = 0
        if sample.owner:
            self.owned_s = now
            self._owned(sample)

    def _saw_nothing(self, until_s: float, for_s: float) -> None:
        """Kafka was away, or we were: the clocks stood still meanwhile. What nobody could do, or we not see, is held
        against nobody; what was seen before counts on."""
        self.seen_since_s = until_s
        self._blind.append((until_s, for_s))
        self.moved_s += for_s
        self.owned_s += for_s
        self.phase_since_s += for_s
        if self.clear_s is not None:
            self.clear_s += for_s

    def _owned(self, sample: Sample) -> None:
        """A worker that was started again is another, even where the group has not noticed yet."""
        member, worker_id = self._owner
        now_id = sample.worker.worker_id if sample.worker else ""
        if sample.owner != member or (worker_id and now_id and now_id != worker_id):
            self.owner_since_s = sample.at_s
            self.handovers += bool(member)
            worker_id = ""
        self._owner = (sample.owner, now_id or worker_id)

    def _moved(self, sample: Sample, last: Sample) -> None:
        if last.lag and last.committed is not None:  # where nothing was unread, there was nothing to commit
            self._gaps.append(sample.at_s - max(self.moved_s, self.clear_s or 0.0))
        self.moved_s = sample.at_s
        self.arrived = self.handovers = 0
        before, after = last.committed or 0, sample.committed or 0
        if after < before:
            self.rewound = (max(before, self.rewound[0] if self.rewound else 0), after)
        elif self.rewound and after >= min(self.rewound[0], sample.end):
            self.rewound = None

    @property
    def newest(self) -> Sample:
        """Raises IndexError where there is none."""
        return self.samples[-1]

    @property
    def span_s(self) -> float:
        """From the first sample to the newest."""
        return self.samples[-1].at_s - self.samples[0].at_s

    @property
    def lost_total(self) -> int:
        """Since watching began."""
        return self._lost_before + self.newest.lost

    @property
    def rhythm_s(self) -> float | None:
        """How long it mostly is between two commits while there is something unread; None: not known."""
        return median(self._gaps) if len(self._gaps) >= RHYTHM_GAPS else None

    def stuck_s(self, now_s: float) -> float:
        """How long there has been something unread, and no commit."""
        return now_s - max(self.moved_s, self.clear_s or 0.0) if self.newest.lag else 0.0

    @property
    def deaths(self) -> int:
        """Of workers, since it moved last, as far as there is something unread."""
        since_s = max(self.moved_s, self.clear_s or 0.0)
        return sum(heard_s + HEARTBEAT_S >= since_s for heard_s in self.newest.died_s)

    def since(self, at_s: float) -> list[Sample]:
        return [sample for sample in self.samples if sample.at_s >= at_s]

    def rates(self, over_s: float) -> tuple[float, float]:
        """Records a second, in and out, over the last `over_s`."""
        some = self.since(self.newest.at_s - over_s)
        seconds = some[-1].at_s - some[0].at_s
        if seconds <= 0:
            return 0.0, 0.0
        came = max(0, some[-1].end - some[0].end)
        read = sum(max(0, after.position - before.position) for before, after in pairwise(some))
        return came / seconds, read / seconds

    def late_s(self, sample: Sample, rate_in: float) -> float:
        """How old the first unread record is; where that is not known, how long as many take to come."""
        if not sample.lag:
            return 0.0
        if sample.read_age_s is not None:
            return max(0.0, sample.read_age_s)
        return sample.lag / rate_in if rate_in > 0 else 0.0

    def late_at_least_s(self, over_s: float, rate_in: float) -> float:
        """The least of the last `over_s`: between two commits lag grows, and that says nothing. Without the time in
        which nothing was seen: behind a broker that was away all is late, by no fault of who reads."""
        return min(self._late_seen_s(sample, rate_in) for sample in self.since(self.newest.at_s - over_s))

    def _late_seen_s(self, sample: Sample, rate_in: float) -> float:
        late_s = self.late_s(sample, rate_in)
        came_s = sample.at_s - late_s
        return max(0.0, late_s - sum(for_s for until_s, for_s in self._blind if came_s < until_s <= sample.at_s))

    def shrinks(self, over_s: float) -> bool:
        """Is there less unread than there was? Told by the least of each half, for the same reason."""
        some = self.since(self.newest.at_s - over_s)
        middle = self.newest.at_s - over_s / 2
        older = [sample.lag for sample in some if sample.at_s < middle]
        newer = [sample.lag for sample in some if sample.at_s >= middle]
        if not older:
            return False
        if not min(older):  # it came all at once, a moment ago: all there is to go by is what followed
            return newer[-1] < 0.9 * max(newer)
        return min(newer) < 0.98 * min(older)


def shares(windows: Iterable[Window], over_s: float) -> list[float]:
    """Of what came into all partitions of a topic, how much came into each; 0 where nothing came."""
    rates = [window.rates(over_s)[0] if window.samples else 0.0 for window in windows]
    total = sum(rates)
    return [rate / total if total else 0.0 for rate in rates]
