"""What was computed, held against what is served: window by window, in the order of their keys. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from pipelines.aggregate.windows import DAY_MS
from pipelines.history.store import Row, Served, is_kept
from wire.metrics import HOUR_S, WINDOW_S, Metric, MetricPoint, State

MERGE = -1  # the teller of teams, courses and the school
# How things stood when they were told. When that was is not in the records, so there is nothing to hold them against.
AS_SEEN = frozenset(
    (
        Metric.PRESENT_STUDENTS,
        Metric.IDLE_STUDENTS,
        Metric.STRUGGLING_STUDENTS,
        Metric.HELP_REQUESTS_OPEN,
        Metric.LONGEST_WAIT_S,
    )
)
COMPARED = tuple(metric for metric in Metric if metric not in AS_SEEN)
# Of a window in which nothing has happened these may be told as 0, where the head came by, or not at all.
TOLD_AS_0 = frozenset((Metric.EVENTS_PER_MINUTE, Metric.ACTIVE_STUDENTS))
_WINDOW_MS = {metric.value: WINDOW_S[metric] * 1000 for metric in Metric}
_OF_SESSIONS = frozenset((Metric.SESSIONS, Metric.ACTIVE_S))


def is_compared(point: MetricPoint) -> bool:
    return is_kept(point) and point.metric not in AS_SEEN and bool(point.n or point.metric not in TOLD_AS_0)


class Rebuilt(NamedTuple):
    """A window as it was computed; begins as Served does."""

    scope: str
    metric: str
    label: str
    start_ms: int
    value: float
    n: int
    watermark_ms: int
    open: bool  # it may be told anew at any time
    teller: int  # the partition that tells of its students, or MERGE

    @classmethod
    def of(cls, scope: str, point: MetricPoint, teller: int) -> "Rebuilt":
        is_open = point.state is State.PROVISIONAL
        return cls(
            scope, point.metric.value, point.label, point.start_ms,
            point.value, point.n, point.watermark_ms, is_open, teller,
        )  # fmt: skip


class Verdict(StrEnum):
    SAME = "same"
    DIFFERS = "differs"  # value or n
    MISSING = "missing"  # in the store
    EXTRA = "extra"  # in the store: no event that counts lies in that window
    OPEN = "open"  # still to be told
    CHANGING = "changing"  # differs, but by events that came meanwhile perhaps


DIFFERENT = (Verdict.DIFFERS, Verdict.MISSING, Verdict.EXTRA)


class Limits(NamedTuple):
    """Of what can be compared; event time."""

    from_ms: int  # of windows that begin before not all records are there
    seen_ms: Mapping[int, int]  # by teller, the newest event
    grace_ms: int
    closed_ms: int  # an hour or a day that ends later, and of which nothing was computed, is still open
    changing_from_ms: int | None = None  # events that lie behind it may have come meanwhile; None: none have


class Pair(NamedTuple):
    verdict: Verdict
    rebuilt: Rebuilt | None
    served: Served | None

    @property
    def key(self) -> tuple[str, str, str, int]:
        return (self.rebuilt or self.served)[:4]  # type: ignore[index]  # one of them is there


def pairs(rebuilt: Iterable[Rebuilt], served: Iterable[Served], limits: Limits) -> Iterator[Pair]:
    """Every window that one of them has; both in the order of their keys."""
    ours, theirs = iter(rebuilt), iter(served)
    one, other = next(ours, None), next(theirs, None)
    pair: tuple[Rebuilt | None, Served | None]
    while one is not None or other is not None:
        if other is None or (one is not None and one[:4] < other[:4]):
            pair, one = (one, None), next(ours, None)
        elif one is None or other[:4] < one[:4]:
            pair, other = (None, other), next(theirs, None)
        else:
            pair, one, other = (one, other), next(ours, None), next(theirs, None)
        yield Pair(_verdict(pair[0], pair[1], limits), *pair)


def _verdict(rebuilt: Rebuilt | None, served: Served | None, limits: Limits) -> Verdict:
    if rebuilt is not None:
        if rebuilt.open or _is_behind(rebuilt, limits.seen_ms[rebuilt.teller], limits):
            return Verdict.OPEN
        if served is None:
            return _unless_changing(Verdict.MISSING, rebuilt, limits)
        if (rebuilt.value, rebuilt.n) != (served.value, served.n):
            return _unless_changing(Verdict.DIFFERS, rebuilt, limits)
    elif served is not None:
        if _end_ms(served) > limits.closed_ms or _is_behind(served, limits.seen_ms[MERGE], limits):
            return Verdict.OPEN
        if served.value or served.n or served.metric not in TOLD_AS_0:
            return _unless_changing(Verdict.EXTRA, served, limits)
    return Verdict.SAME


def _is_behind(one: Rebuilt | Served, seen_ms: int, limits: Limits) -> bool:
    """A window that slides is told when told time has come so far. Behind the newest event that is carried on by the
    wall clock from when the event was read, which the records do not say. Hours and days are told as they change."""
    return _WINDOW_MS[one.metric] < HOUR_S * 1000 and _end_ms(one) > seen_ms - limits.grace_ms


def _unless_changing(verdict: Verdict, one: Rebuilt | Served, limits: Limits) -> Verdict:
    if limits.changing_from_ms is None:
        return verdict
    # A session is of the day it began on, and may go on through the next one.
    reaches_ms = _end_ms(one) + (DAY_MS if one.metric in _OF_SESSIONS else 0)
    return Verdict.CHANGING if reaches_ms > limits.changing_from_ms else verdict


def _end_ms(one: Rebuilt | Served) -> int:
    return one.start_ms + _WINDOW_MS[one.metric]


def corrected(pair: Pair, seen_ms: Mapping[int, int]) -> Row | None:
    """What is to be written so that the store serves what was computed; None: no value says that nothing happened."""
    scope, name, label, start_ms = pair.key
    metric, rebuilt = Metric(name), pair.rebuilt
    if rebuilt is None and metric not in TOLD_AS_0:
        return None
    # As of no less than what is held, which PostgreSQL would else keep; and of no more than the records have seen, so
    # that what the workers tell later is taken for newer.
    held_ms = (pair.served.as_of_ms if pair.served else None) or 0
    point = MetricPoint(
        metric=metric,
        label=label,
        window_s=WINDOW_S[metric],
        start_ms=start_ms,
        value=rebuilt.value if rebuilt else 0.0,
        n=rebuilt.n if rebuilt else 0,
        as_of_ms=max(held_ms, seen_ms[rebuilt.teller] if rebuilt else 0),
        watermark_ms=rebuilt.watermark_ms if rebuilt else 0,
        state=State.CORRECTED,
    )
    return scope, point
