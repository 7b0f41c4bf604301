"""What one source partition knows of one scope: absolute sums, keyed by scope in the topic `partials`.

Additive: the sum over source partitions is the scope's truth, because a student lives in exactly one of them. Adding is
commutative and associative, so neither the order of partitions nor of students changes a value.
"""

from collections.abc import Iterable
from itertools import zip_longest
from typing import TypeVar

import msgspec

from wire.metrics import ScopeText
from wire.probe import Echo

PANE_S = 10  # the smallest step a window moves by; windows are sums of panes
DISTINCT_PANES = 30  # gaps are counted up to here, so distinct counts are exact for windows up to 5 minutes

# Upper bounds of the buckets that delays are counted in, by doubling; the last bucket has none.
DELAY_BOUNDS_MS = tuple(250 * 2**i for i in range(16))
DELAY_BUCKETS = len(DELAY_BOUNDS_MS) + 1
SCORE_BINS = 10  # of equal width; 1.0 lies in the last
SCORE_UNITS = 1_000  # scores are added in whole thousandths, so that sums are exact in any order

Key = TypeVar("Key")


class PaneCounts(msgspec.Struct, array_like=True):
    """What happened in one pane.

    `gaps[k]` counts the students active in this pane whose previous active pane lies k panes back, k capped at
    DISTINCT_PANES (which also stands for "never before"). A student is then counted by exactly one pane of any window
    of at most DISTINCT_PANES panes: the first one he is active in, the one whose gap reaches out of the window.
    """

    events: int = 0
    attempts: int = 0  # events that can fail
    failures: int = 0
    gaps: dict[int, int] = {}

    def add(self, other: "PaneCounts") -> None:
        self.events += other.events
        self.attempts += other.attempts
        self.failures += other.failures
        add_each(self.gaps, other.gaps)


class HourCounts(msgspec.Struct, array_like=True):
    """What happened in one hour, UTC."""

    events: int = 0
    attempts: int = 0
    failures: int = 0
    students: int = 0  # with at least one event
    delays: list[int] = []  # events by `received_at_ms - occurred_at_ms`, a number for each of DELAY_BUCKETS; or none

    def add(self, other: "HourCounts") -> None:
        self.events += other.events
        self.attempts += other.attempts
        self.failures += other.failures
        self.students += other.students
        self.delays = add_lists(self.delays, other.delays)


class DayCounts(msgspec.Struct, array_like=True):
    """What happened in one day, UTC."""

    kinds: dict[str, int] = {}  # events by kind
    attempts: int = 0
    failures: int = 0
    students: int = 0  # with at least one event
    scored: int = 0  # events with a score
    score_sum: int = 0  # of SCORE_UNITS
    score_bins: list[int] = []  # scored events by SCORE_BINS; or none
    progress: dict[int, int] = {}  # tasks completed → students with so many
    task_attempts: int = 0  # attempts on a named task
    tasks_tried: int = 0  # (student, task) pairs with such an attempt
    best_sum: int = 0  # over (student, task) pairs with a score: the best one, of SCORE_UNITS
    tasks_scored: int = 0  # such pairs
    time_on_task_ms: int = 0
    members: dict[int, int] = {}  # events → students with so many; of teams only
    sessions: int = 0  # of students only: begun on this day
    active_ms: int = 0  # of students only: in these sessions

    def add(self, other: "DayCounts") -> None:
        add_each(self.kinds, other.kinds)
        self.attempts += other.attempts
        self.failures += other.failures
        self.students += other.students
        self.scored += other.scored
        self.score_sum += other.score_sum
        self.score_bins = add_lists(self.score_bins, other.score_bins)
        add_each(self.progress, other.progress)
        self.task_attempts += other.task_attempts
        self.tasks_tried += other.tasks_tried
        self.best_sum += other.best_sum
        self.tasks_scored += other.tasks_scored
        self.time_on_task_ms += other.time_on_task_ms
        add_each(self.members, other.members)
        self.sessions += other.sessions
        self.active_ms += other.active_ms


class NowCounts(msgspec.Struct, array_like=True):
    """How students stand. What time makes of it, who is idle, who has waited how long, is worked out when told."""

    seen: dict[int, int] = {}  # pane of the newest event → students who have not ended their session since
    waiting: dict[int, int] = {}  # event time of the newest help request, ms → students who still wait
    struggling: dict[int, int] = {}  # pane of the newest failure → students who fail at one task again and again

    def add(self, other: "NowCounts") -> None:
        add_each(self.seen, other.seen)
        add_each(self.waiting, other.waiting)
        add_each(self.struggling, other.struggling)


class Partial(msgspec.Struct, kw_only=True, tag="partial", omit_defaults=True):
    """The newest values of the panes, hours and days that changed. One that is not named has not changed."""

    scope: ScopeText
    partition: int  # of `activity`
    offset: int  # of the last event in it that these values hold
    event_time_ms: int  # the highest event time seen in that partition
    panes: dict[int, PaneCounts] = {}  # pane number (epoch seconds // PANE_S) → counts
    hours: dict[int, HourCounts] = {}  # epoch hour → counts
    days: dict[int, DayCounts] = {}  # epoch day → counts
    now: NowCounts | None = None  # None: as it was


class Progress(msgspec.Struct, kw_only=True, tag="progress", omit_defaults=True):
    """How far a partition of `activity` has been folded; one to each partition of `partials`."""

    partition: int  # of `activity`
    offset: int
    event_time_ms: int
    idle: bool = False  # all has been read, and for a while nothing has come: it holds back nobody's watermark


Said = Partial | Progress | Echo

encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)


def decode(data: bytes) -> Said:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)


def add_one(total: dict[Key, int], key: Key, number: int) -> None:
    """Adds in place. Zeros are not kept, so that equal sums are equal."""
    if left := total.get(key, 0) + number:
        total[key] = left
    else:
        total.pop(key, None)


def add_each(total: dict[Key, int], other: dict[Key, int]) -> None:
    for key, number in other.items():
        add_one(total, key, number)


def add_lists(one: list[int], other: Iterable[int]) -> list[int]:
    """The sums place by place; what one of them lacks stands for zeros."""
    return [a + b for a, b in zip_longest(one, other, fillvalue=0)]
