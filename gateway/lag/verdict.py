"""What is to be thought of a group's place in a partition: a state machine over its window of samples. Pure.

Burrow judges by commits alone (github.com/linkedin/Burrow/wiki/Consumer-Lag-Evaluation-Rules), and so as late as they
are seldom. Here it is also known who has the partition, what its worker says of itself, and what Kafka still keeps.
"""

from dataclasses import dataclass

from gateway.lag import causes
from gateway.lag.causes import Cause
from gateway.lag.samples import Phase, Window
from gateway.lag.states import PATIENCE, Patience, State

RHYTHM = 2.5  # times the usual time between two commits
HANDOVERS = 2  # without getting on: a third owner that gets no further
DEATHS = 2  # the same: a second worker that has died
HOT_SHARE = 0.8  # of what comes into a topic
MARGIN_SHARE = 0.1  # of the retention: what is left of it is little


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a window says by itself, without what was thought before."""

    state: State
    says: str
    cause: Cause = Cause.NONE


@dataclass(frozen=True, kw_only=True)
class Measures:
    lag: int  # records
    lag_s: float | None  # None: not known
    rate_in: float  # records a second
    rate_out: float
    catch_up_s: float | None  # None: not at this rate
    margin_s: float | None  # until the first unread record may be deleted; None: never, or there is none
    lost: int  # records, as it stands
    lost_total: int  # since watching began


@dataclass(frozen=True, kw_only=True)
class Verdict:
    state: State
    since_s: float
    cause: Cause
    says: str  # one sentence
    confidence: float  # 0 to 1
    measures: Measures | None  # None: nothing was ever seen
    turning_s: float | None = None  # since when its windows have said something else


def step(
    before: Verdict | None,
    window: Window,
    now_s: float,
    *,
    share: float = 0.0,
    retention_s: float | None = None,
    away: str = "",
    patience: Patience = PATIENCE,
) -> Verdict:
    """The next verdict. `share`: of what comes into the topic, this partition's; 0 where it has but one. `retention_s`:
    the topic's; None: for good. `away`: why there are no samples, where it is known."""
    if not window.samples:
        says = causes.unseen(None, away)
        return Verdict(
            state=State.UNKNOWN, since_s=_since(before, State.UNKNOWN, now_s), cause=Cause.NO_SAMPLES, says=says,
            confidence=0.0, measures=None,
        )  # fmt: skip
    told = measure(window, retention_s, patience)
    finding = find(window, told, now_s, share, retention_s, away, patience)
    state, turning_s = _settle(before, finding.state, now_s, patience)
    held = state is not finding.state
    return Verdict(
        state=state,
        since_s=_since(before, state, now_s),
        cause=before.cause if held and before else finding.cause,
        says=causes.held(before.says, finding.says) if held and before else finding.says,
        confidence=_confidence(finding, window, told, now_s, patience),
        measures=told,
        turning_s=turning_s,
    )


def measure(window: Window, retention_s: float | None, patience: Patience) -> Measures:
    newest = window.newest
    rate_in, rate_out = window.rates(patience.trend_s)
    gained = rate_out - rate_in
    lag_s = window.late_s(newest, rate_in) if newest.read_age_s is not None or not newest.lag or rate_in else None
    return Measures(
        lag=newest.lag,
        lag_s=lag_s,
        rate_in=rate_in,
        rate_out=rate_out,
        catch_up_s=newest.lag / gained if newest.lag and gained > 0 else 0.0 if not newest.lag else None,
        margin_s=retention_s - newest.read_age_s if retention_s and newest.read_age_s is not None else None,
        lost=newest.lost,
        lost_total=window.lost_total,
    )


def find(
    window: Window,
    told: Measures,
    now_s: float,
    share: float,
    retention_s: float | None,
    away: str,
    patience: Patience,
) -> Finding:
    newest = window.newest
    if now_s - newest.at_s > patience.stale_s:
        said = causes.unseen(now_s - newest.at_s, away)
        return Finding(state=State.UNKNOWN, cause=Cause.NO_SAMPLES, says=said)
    if newest.lost:
        return Finding(state=State.LOSING_DATA, cause=Cause.DELETED_UNREAD, says=causes.lost(newest))
    # For a moment whoever reads transactions before they are settled stands there too.
    if window.beyond_s is not None and now_s - window.beyond_s >= patience.leave_s:
        return Finding(state=State.LOSING_DATA, cause=Cause.BEYOND_THE_END, says=causes.beyond(newest))
    found = _standing(window, now_s, patience) or _rewound(window) or _pace(window, told, now_s, share, patience)
    little = told.margin_s is not None and told.margin_s < MARGIN_SHARE * (retention_s or 0.0)
    if little and found.state.severity >= State.FALLING_BEHIND.severity and told.margin_s is not None:
        said = causes.about_to_be_lost(told.margin_s, found.says)
        return Finding(state=State.LOSING_DATA, cause=Cause.ABOUT_TO_BE_DELETED, says=said)
    return found


def _standing(window: Window, now_s: float, patience: Patience) -> Finding | None:
    """Where nobody has it, or it does not get on."""
    newest, stuck_s = window.newest, window.stuck_s(now_s)
    still_s = patience.still_s
    if window.rhythm_s is not None:
        still_s = min(max(still_s, RHYTHM * window.rhythm_s), patience.still_max_s)
    if window.deaths >= DEATHS and stuck_s >= still_s:
        said = causes.deadly(newest, window.deaths, stuck_s)
        return Finding(state=State.STALLED, cause=Cause.POISON, says=said)
    if not newest.owner:
        if newest.phase is Phase.REBALANCING:
            joining_s = now_s - window.phase_since_s
            # Whoever comes back after a while away must be let in, too: a rebalance has its own time.
            if not newest.lag or (joining_s < still_s and stuck_s < 2 * still_s):
                return None
            said = causes.rebalancing(joining_s, newest)
            return Finding(state=State.STALLED, cause=Cause.REBALANCING, says=said)
        unowned_s = now_s - window.owned_s
        if max(stuck_s, unowned_s) < patience.leave_s:
            return None
        return Finding(state=State.STOPPED, cause=Cause.NOBODY, says=causes.nobody(unowned_s, newest))
    worker = newest.worker
    if worker is not None and worker.holds:  # also with nothing to read: nobody is to forget
        return Finding(state=State.STALLED, cause=Cause.PAUSED, says=causes.paused(worker, newest))
    if not newest.lag:
        return None
    store = (worker.held_by if worker is not None else "") or newest.store_away
    if store and stuck_s >= patience.held_s:
        return Finding(state=State.STALLED, cause=Cause.STORE_AWAY, says=causes.store_away(newest, store, stuck_s))
    if window.handovers >= HANDOVERS and stuck_s >= still_s:
        said = causes.poison(newest, window.handovers, stuck_s)
        return Finding(state=State.STALLED, cause=Cause.POISON, says=said)
    # Whoever has just got it is given his time, but not all of them one after the other.
    own_s = now_s - max(now_s - stuck_s, window.owner_since_s)
    if own_s < still_s and stuck_s < 3 * still_s:
        return None
    if worker is not None and causes.works(worker) and stuck_s < patience.busy_s:
        return None
    if worker is not None and causes.restores(worker) and stuck_s < patience.restore_s:
        return Finding(state=State.CATCHING_UP, cause=Cause.RESTORING, says=causes.restoring(worker, stuck_s))
    cause, said = causes.still(window, stuck_s)
    return Finding(state=State.STALLED, cause=cause, says=said)


def _rewound(window: Window) -> Finding | None:
    if window.rewound is None:
        return None
    said = causes.rewound(window.rewound, window.newest)
    return Finding(state=State.REWOUND, cause=Cause.WENT_BACK, says=said)


def _pace(window: Window, told: Measures, now_s: float, share: float, patience: Patience) -> Finding:
    late_s = window.late_at_least_s(patience.trough_s, told.rate_in)
    if not window.newest.lag or late_s <= patience.late_s:
        quiet_s = now_s - (window.arrived_s if window.arrived_s is not None else window.began_s)
        if not window.newest.lag and quiet_s >= patience.idle_s:
            return Finding(state=State.IDLE, says=causes.idle(quiet_s))
        return Finding(state=State.OK, says=causes.fine(window.newest.lag, told.lag_s))
    # Who does not read at all has no pace: that is for `_standing` to tell, in its own time.
    stuck_s, worker = window.stuck_s(now_s), window.newest.worker
    reads = worker is not None and causes.works(worker)
    if not reads and stuck_s > max(patience.late_s, RHYTHM * (window.rhythm_s or 0.0)):
        return Finding(state=State.OK, says=causes.waits(window.newest.lag, told.lag_s, stuck_s))
    again_s = window.newest.at_s - window.seen_since_s
    if window.span_s < patience.trend_s or again_s < patience.return_s:
        seen_s = min(window.span_s, again_s)
        return Finding(state=State.UNKNOWN, cause=Cause.TOO_EARLY, says=causes.too_early(seen_s, told.lag))
    hot = share >= HOT_SHARE
    if window.shrinks(patience.trend_s):
        cause = Cause.HOT_PARTITION if hot else Cause.NONE
        said = causes.catching_up(told.lag, late_s, told.rate_in, told.rate_out, told.catch_up_s, share if hot else 0)
        return Finding(state=State.CATCHING_UP, cause=cause, says=said)
    cause = Cause.HOT_PARTITION if hot else Cause.SLOW
    said = causes.falling_behind(told.lag, late_s, told.rate_in, told.rate_out, share if hot else 0)
    return Finding(state=State.FALLING_BEHIND, cause=cause, says=said)


_MOVING = frozenset({State.CATCHING_UP, State.FALLING_BEHIND})


def _settle(before: Verdict | None, found: State, now_s: float, patience: Patience) -> tuple[State, float | None]:
    """What is said, and since when something else was found. What is bad is said at once, for its patience is in the
    finding; what is better, and whether it gets later, once it has lasted."""
    if before is None or before.state is found or before.state is State.UNKNOWN or found is State.UNKNOWN:
        return found, None
    if before.state.fine and found.fine:
        return found, None
    if found.severity > before.state.severity and (before.state.fine or found not in _MOVING):
        return found, None
    turning_s = now_s if before.turning_s is None else before.turning_s
    if before.state is State.LOSING_DATA:
        wait_s = max(0.0, patience.told_s - (turning_s - before.since_s))
        wait_s = max(wait_s, patience.clear_s)
    elif found.severity > before.state.severity or {before.state, found} == _MOVING:
        wait_s = patience.confirm_s
    else:
        wait_s = patience.clear_s
    return (before.state, turning_s) if now_s - turning_s < wait_s else (found, None)


def _since(before: Verdict | None, state: State, now_s: float) -> float:
    return before.since_s if before is not None and before.state is state else now_s


def _confidence(finding: Finding, window: Window, told: Measures, now_s: float, patience: Patience) -> float:
    if finding.state is State.UNKNOWN:
        return 0.0
    if finding.state is State.LOSING_DATA and told.lost:
        return 1.0  # seen, not concluded
    sure = 0.4 + 0.6 * min(1.0, window.span_s / patience.trend_s)
    if finding.cause is Cause.STILL:
        sure *= 0.7  # that it stands is plain; why is not
    if finding.cause is Cause.POISON:
        sure *= 0.8
    if told.lag and window.newest.read_age_s is None:
        sure *= 0.8
    sure *= 1 - 0.5 * min(1.0, max(0.0, now_s - window.newest.at_s) / patience.stale_s)
    return round(sure, 2)
