"""What is wrong, the worst first, from everything that is known. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.abilities import HISTORY, KAFKA, POSTGRESQL, REDIS
from gateway.canary import Round
from gateway.lag.states import State
from gateway.lag.summary import GroupVerdict
from gateway.probes import Finding
from gateway.siblings import Silent

RUNBOOK = "docs/runbook.md"


class Level(StrEnum):
    """The worse the later."""

    OK = "ok"
    UNKNOWN = "unknown"  # something cannot be judged, and nothing is known to be wrong
    DEGRADED = "degraded"  # something is late, or missing that the door does not need
    FAILING = "failing"  # events are refused or lost, or numbers are wrong

    @property
    def severity(self) -> int:
        return _ORDER[self]


_ORDER = {level: number for number, level in enumerate(Level)}


@dataclass(frozen=True, kw_only=True)
class Reason:
    about: str  # "kafka", "group live", "workers live", "probe", "audit", "rate limits"
    level: Level
    rank: int  # the greater the nearer to the cause, or the worse
    says: str
    section: str  # of the runbook
    since_ms: int | None = None  # epoch; None: whoever found it does not know


@dataclass(frozen=True)
class Audited:
    """What the last look at the audit said."""

    at_ms: int
    adds_up: bool
    says: str  # what does not; "" where it does


# A server away is what all else comes of, so it is told first; then what is lost or wrong; then what stands still.
_SERVERS = {KAFKA: (Level.FAILING, 100), POSTGRESQL: (Level.FAILING, 80), REDIS: (Level.DEGRADED, 70)}
_SERVERS[HISTORY] = (Level.DEGRADED, 60)
_LOST, _AUDIT, _GATEWAY, _NO_WORKER, _PROBE, _RATES = 95, 90, 58, 50, 30, 10
_GROUPS = {  # State.severity apart, as the level is another
    State.LOSING_DATA: (Level.FAILING, _LOST),
    State.STOPPED: (Level.DEGRADED, 55),
    State.STALLED: (Level.DEGRADED, 54),
    State.REWOUND: (Level.DEGRADED, 40),
    State.FALLING_BEHIND: (Level.DEGRADED, 35),
    State.CATCHING_UP: (Level.DEGRADED, 20),
    State.UNKNOWN: (Level.UNKNOWN, 5),
}


def servers(found: Mapping[str, Finding]) -> list[Reason]:
    out = []
    for name, finding in found.items():
        if not finding.up:
            level, rank = _SERVERS[name]
            since_ms = round(finding.since * 1000)
            said = f"{name} is away: {finding.detail}"
            out.append(Reason(about=name, level=level, rank=rank, says=said, section="server_away", since_ms=since_ms))
    return out


def groups(verdicts: Iterable[GroupVerdict], now_s: float, now_ms: int) -> list[Reason]:
    """`now_s`: by the verdicts' own clock."""
    out = []
    for verdict in verdicts:
        if verdict.state.fine:
            continue
        level, rank = _GROUPS[verdict.state]
        since_ms = None if verdict.since_s is None else now_ms - round((now_s - verdict.since_s) * 1000)
        said = f"{verdict.group} is {verdict.state.words}: {verdict.says}"
        out.append(
            Reason(
                about=f"group {verdict.group}",
                level=level,
                rank=rank,
                says=said,
                section=verdict.state.value,
                since_ms=since_ms,
            )
        )
    return out


def pipelines(idle: Mapping[str, int], why: Mapping[str, str]) -> list[Reason]:
    """`idle`: without a worker that is ready, since then (epoch ms). `why`: what theirs say, where there are any."""
    return [
        Reason(
            about=f"workers {app}",
            level=Level.DEGRADED,
            rank=_NO_WORKER,
            says=f"no worker of {app} is ready: {why.get(app) or 'there is none'}",
            section="no_worker",
            since_ms=since_ms,
        )
        for app, since_ms in idle.items()
    ]


def gateways(silent: Iterable[Silent], now_ms: int) -> list[Reason]:
    return [
        Reason(
            about=f"gateway {one.who.host} {one.who.pid}",
            level=Level.DEGRADED,
            rank=_GATEWAY,
            says=f"the gateway's process {one.who.pid} on {one.who.host} is silent for {one.for_s:.0f} s: it is "
            "frozen, or its machine is away",
            section="gateway_silent",
            since_ms=now_ms - round(one.for_s * 1000),
        )
        for one in silent
    ]


def probe(found: Round | None) -> list[Reason]:
    if found is None or not found.is_late:
        return []
    said = f"no probe has come back for {found.age_s:.0f} s" + (f": {found.error}" if found.error else "")
    return [Reason(about="probe", level=Level.DEGRADED, rank=_PROBE, says=said, section="probe_late")]


def audit(found: Audited | None) -> list[Reason]:
    if found is None or found.adds_up:
        return []
    return [Reason(about="audit", level=Level.FAILING, rank=_AUDIT, says=found.says, section="audit_wrong")]


def rates(away: str | None) -> list[Reason]:
    """`away`: why each process counts for itself."""
    if away is None:
        return []
    said = f"each gateway counts rates for itself, as Redis is away: {away}"
    return [Reason(about="rate limits", level=Level.DEGRADED, rank=_RATES, says=said, section="server_away")]


def worst_first(reasons: Iterable[Reason]) -> list[Reason]:
    return sorted(reasons, key=lambda one: (-one.level.severity, -one.rank, one.about))


def level(reasons: Iterable[Reason]) -> Level:
    return max((one.level for one in reasons), key=lambda one: one.severity, default=Level.OK)
