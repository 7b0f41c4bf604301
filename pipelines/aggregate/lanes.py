"""Counters packed into one int, so that counting an event, or adding sums, is one addition. Pure.

32 bits a lane. They hold what came since the last publication: a lane would need four million scored events in it to
reach the next one.
"""

from typing import Protocol

from pipelines.aggregate.students import Day
from wire.events import Kind
from wire.partials import SCORE_BINS, SCORE_UNITS, DayCounts, add_lists

_LANE = 32
_KINDS = tuple(kind.value for kind in Kind)
_EVENTS, _ATTEMPTS, _FAILURES, _SCORED, _SCORE_SUM, _BINS = range(6)
_KIND = _BINS + SCORE_BINS


def _one(lane: int) -> int:
    return 1 << _LANE * lane


_MASK = _one(1) - 1
_OUTCOME = _one(_SCORED) - 1  # of events, attempts and failures
_SCORE_UNIT = _one(_SCORE_SUM)


def _added(success: bool | None) -> int:
    if success is None:
        return _one(_EVENTS)
    return _one(_EVENTS) + _one(_ATTEMPTS) + (0 if success else _one(_FAILURES))


# What an event adds, by its kind and success, but for its score.
EVENT = {
    kind: {success: _added(success) + _one(_KIND + index) for success in (None, True, False)}
    for index, kind in enumerate(_KINDS)
}


def scored(units: int) -> int:
    """What a score adds, in SCORE_UNITS."""
    return _one(_SCORED) + units * _SCORE_UNIT + _one(_BINS + score_bin(units))


def score_bin(units: int) -> int:
    return min(units * SCORE_BINS // SCORE_UNITS, SCORE_BINS - 1)


def outcome(packed: int) -> int:
    """Of all it counts what a pane needs."""
    return packed & _OUTCOME


class Outcome(Protocol):
    """Of a pane or an hour."""

    events: int
    attempts: int
    failures: int


def add_outcome(packed: int, to: Outcome) -> None:
    to.events += packed & _MASK
    to.attempts += packed >> _ATTEMPTS * _LANE & _MASK
    to.failures += packed >> _FAILURES * _LANE & _MASK


def add_day(packed: int, day: Day | DayCounts) -> None:
    day.attempts += packed >> _ATTEMPTS * _LANE & _MASK
    day.failures += packed >> _FAILURES * _LANE & _MASK
    if scored := packed >> _SCORED * _LANE & _MASK:
        day.scored += scored
        day.score_sum += packed >> _SCORE_SUM * _LANE & _MASK
        day.score_bins = add_lists(
            day.score_bins or [], [packed >> (_BINS + bin_) * _LANE & _MASK for bin_ in range(SCORE_BINS)]
        )
    kinds, rest, index = day.kinds, packed >> _KIND * _LANE, 0
    while rest:  # mostly one kind, of twenty
        empty = ((rest & -rest).bit_length() - 1) // _LANE
        rest >>= empty * _LANE
        kind = _KINDS[index + empty]
        kinds[kind] = kinds.get(kind, 0) + (rest & _MASK)
        rest >>= _LANE
        index += empty + 1
