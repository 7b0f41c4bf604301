"""Partitions add up to a group's verdict, and groups to the system's: the worst first, with counts. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.lag.samples import Sample
from gateway.lag.states import State
from gateway.lag.verdict import Verdict


class Place(NamedTuple):
    """Where a group stands in a partition."""

    group: str
    topic: str
    partition: int


class Judged(NamedTuple):
    place: Place
    verdict: Verdict
    newest: Sample


@dataclass(frozen=True, kw_only=True)
class GroupVerdict:
    group: str
    state: State
    since_s: float | None  # when the worst of its partitions came to that; None: nothing was seen of any
    says: str
    confidence: float  # in the worst partition's verdict
    counts: Mapping[State, int]  # partitions, the worst first
    lag: int  # records, over all partitions
    lag_s: float | None  # the greatest
    margin_s: float | None  # the least
    lost_total: int
    rate_in: float
    rate_out: float


@dataclass(frozen=True, kw_only=True)
class SystemVerdict:
    state: State
    says: str
    counts: Mapping[State, int]  # groups, the worst first


def of_group(group: str, judged: Sequence[Judged], missing: Sequence[str], away: str) -> GroupVerdict:
    """`missing`: topics that it would read."""
    worst = sorted(judged, key=_badness)
    state, says = State.UNKNOWN, away or "nothing has been seen of it yet"
    since_s: float | None = None
    if missing:
        says = f"there is no topic {missing[0]}"
    elif worst:
        first = worst[0]
        state = first.verdict.state
        alike = [one for one in worst if one.verdict.state is state]
        since_s = min(one.verdict.since_s for one in alike)
        says = _told(first, len(alike), len(worst))
    measures = [one.verdict.measures for one in judged if one.verdict.measures is not None]
    late = [told.lag_s for told in measures if told.lag_s is not None]
    margins = [told.margin_s for told in measures if told.margin_s is not None]
    return GroupVerdict(
        group=group,
        state=state,
        since_s=since_s,
        says=says,
        confidence=worst[0].verdict.confidence if worst and not missing else 0.0,
        counts=_counts(one.verdict.state for one in judged),
        lag=sum(told.lag for told in measures),
        lag_s=max(late, default=None),
        margin_s=min(margins, default=None),
        lost_total=sum(told.lost_total for told in measures),
        rate_in=sum(told.rate_in for told in measures),
        rate_out=sum(told.rate_out for told in measures),
    )


def of_system(groups: Sequence[GroupVerdict]) -> SystemVerdict:
    state = max((group.state for group in groups), key=lambda one: one.severity, default=State.UNKNOWN)
    bad = sorted((group for group in groups if not group.state.fine), key=lambda one: (-one.state.severity, one.group))
    says = "; ".join(f"{group.group} is {group.state.words}: {group.says}" for group in bad)
    if not says:
        says = (
            f"every group keeps up: {', '.join(group.group for group in groups)}" if groups else "there are no groups"
        )
    return SystemVerdict(state=state, says=says, counts=_counts(group.state for group in groups))


def _badness(judged: Judged) -> tuple[int, int, Place]:
    """The worst first; among them the one with most unread."""
    told = judged.verdict.measures
    return -judged.verdict.state.severity, -(told.lag if told else 0), judged.place


def _told(worst: Judged, alike: int, of: int) -> str:
    if worst.verdict.state.fine:
        return worst.verdict.says if of == 1 else f"all {of} partitions keep up"
    if of == 1:
        return worst.verdict.says
    where = f"partition {worst.place.partition} of {worst.place.topic}"
    many = f"all {of} partitions" if alike == of else f"{alike} of {of} partitions"
    return f"{many}; {where}: {worst.verdict.says}" if alike > 1 else f"{where}: {worst.verdict.says}"


def _counts(states: Iterable[State]) -> dict[State, int]:
    counted = Counter(states)
    return {state: counted[state] for state in sorted(counted, key=lambda one: -one.severity)}
