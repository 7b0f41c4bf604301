"""The pipeline as it is drawn: where events come in, what they go through, and who sees them, with a verdict at each.
Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.abilities import ABILITIES, HISTORY, KAFKA, POSTGRESQL, REDIS
from gateway.lag.board import View
from gateway.lag.rounds import Extent
from gateway.lag.states import State
from gateway.oncall import status
from gateway.oncall.changes import Changes
from gateway.oncall.lookout import Look
from gateway.oncall.places import CHANGES_MAX, ERRORS_MAX, Edge, ErrorView, Kind, Node, Pipeline
from gateway.oncall.reasons import RUNBOOK, Level, Reason
from gateway.oncall.status import at
from wire import topics
from wire.topics import Topic

GATEWAY = "gateway"  # as topics.yaml has it

# What an event goes through. The audit's topics, those of what was handled, and changelogs would hide it.
TOPICS = (topics.ACTIVITY, topics.PARTIALS, topics.METRICS, topics.LATE, topics.DEAD_LETTERS, topics.PARKED)
DOOR, VIEWERS = "door", "viewers"
_WRITES = {"live": REDIS, "history": HISTORY}  # group → where it writes to
_ACCEPTED, _MOVING = ABILITIES[0].what, "live values move"


@dataclass(frozen=True)
class Flow:
    """What this process has counted."""

    accepted: float  # events a second
    deliveries: float  # writes to viewers a second
    viewers: int
    behind: int


def view(
    look: Look,
    changes: Changes,
    lag: View,
    extents: Mapping[str, Extent],
    there: Mapping[str, Topic],
    flow: Flow,
    now_ms: int,
) -> Pipeline:
    told = status.view(look, changes, now_ms, CHANGES_MAX, None)
    drawn = [there[name] for name in TOPICS if name in there]
    groups = list(lag.groups)
    nodes = [
        _door(look, flow),
        *(_server(name, look, changes) for name in (KAFKA, POSTGRESQL, REDIS, HISTORY) if name in look.servers),
        *(_topic(one, extents.get(one.name), look) for one in drawn),
        *(_group(name, lag, look, changes) for name in groups),
        _viewers(look, changes, flow),
    ]
    return Pipeline(
        verdict=told.verdict,
        says=told.says,
        since=told.since,
        seen=told.seen,
        first=_first(look.reasons, {node.id for node in nodes}),
        nodes=nodes,
        edges=_edges(drawn, groups, {node.id for node in nodes}),
        reasons=told.reasons,
        probe=told.probe,
        audit=told.audit,
        changes=told.changes,
        errors=_errors(look),
        objectives=told.objectives,
    )


def _door(look: Look, flow: Flow) -> Node:
    """It has no reason of its own: what it needs is away."""
    works = {standing.what: standing for standing in look.works}
    accepted = works.get(_ACCEPTED)
    refuses = accepted is not None and not accepted.works
    return Node(
        id=DOOR,
        kind=Kind.DOOR,
        name=DOOR,
        verdict=Level.FAILING if refuses else Level.OK,
        says=accepted.meanwhile if accepted is not None and refuses else "",
        rate_in=round(flow.accepted, 2),
    )


def _server(name: str, look: Look, changes: Changes) -> Node:
    found = look.servers[name]
    worst = _worst(look.reasons, {name})
    return Node(
        id=f"server {name}",
        kind=Kind.SERVER,
        name=name,
        **_judged(worst, changes, found.detail),
        latency_s=round(found.latency_ms / 1000, 4) if found.up else None,
    )


def _topic(of: Topic, extent: Extent | None, look: Look) -> Node:
    kafka = look.servers.get(KAFKA)
    level, says = Level.OK, of.about
    if kafka is not None and not kafka.up:
        level, says = Level.UNKNOWN, "Kafka is away"
    elif extent is None:
        level, says = Level.UNKNOWN, "nothing has been seen of it yet, or Kafka does not have it"
    elif extent.topic.leaderless:
        level, says = (
            Level.FAILING,
            f"{len(extent.topic.leaderless)} of {extent.topic.partitions} partitions have no leader",
        )
    rate = extent.rate_in if extent is not None and level is not Level.UNKNOWN else None
    return Node(
        id=f"topic {of.name}",
        kind=Kind.TOPIC,
        name=of.name,
        verdict=level,
        says=says,
        rate_in=None if rate is None else round(rate, 2),
    )


def _group(name: str, lag: View, look: Look, changes: Changes) -> Node:
    verdict = lag.groups[name]
    known = verdict.state is not State.UNKNOWN
    beats = [beat for beat in look.beats if beat.app == name]
    worst = _worst(look.reasons, {f"group {name}", f"workers {name}"})
    return Node(
        id=f"group {name}",
        kind=Kind.GROUP,
        name=name,
        **_judged(worst, changes, verdict.says),
        state=verdict.state,
        rate_in=round(verdict.rate_in, 2) if known else None,
        rate_out=round(verdict.rate_out, 2) if known else None,
        lag=verdict.lag if known else None,
        lag_s=None if verdict.lag_s is None or not known else round(verdict.lag_s, 2),
        workers=len(beats),
        ready=sum(beat.ready for beat in beats),
    )


def _viewers(look: Look, changes: Changes, flow: Flow) -> Node:
    """The probe ends here. Where it is not late yet, what a live value needs may be missing already."""
    moving = next((one for one in look.works if one.what == _MOVING), None)
    worst = _worst(look.reasons, {"probe"})
    judged = _judged(worst, changes, f"{flow.behind} of {flow.viewers} are behind" if flow.behind else "")
    if worst is None and moving is not None and not moving.works:
        judged |= {"verdict": Level.DEGRADED, "says": moving.meanwhile}
    latency_s = look.probe.latency_s if look.probe is not None else None
    return Node(
        id=VIEWERS,
        kind=Kind.VIEWERS,
        name=VIEWERS,
        **judged,
        rate_out=round(flow.deliveries, 2),
        viewers=flow.viewers,
        latency_s=None if latency_s is None else round(latency_s, 3),
    )


def _worst(reasons: Sequence[Reason], about: set[str]) -> Reason | None:
    return next((one for one in reasons if one.about in about), None)


def _judged(worst: Reason | None, changes: Changes, says: str) -> dict[str, object]:
    """`says`: where nothing is wrong."""
    if worst is None:
        return {"verdict": Level.OK, "says": says}
    since_ms = changes.since_of(worst.about) if worst.since_ms is None else worst.since_ms
    return {
        "verdict": worst.level,
        "says": worst.says,
        "since": None if since_ms is None else at(since_ms),
        "runbook": f"{RUNBOOK}#{worst.section}",
    }


def _first(reasons: Sequence[Reason], ids: set[str]) -> str | None:
    """Where to look: at the worst reason's place; some, as the audit, have none."""
    for one in reasons:
        about = one.about
        at_ = {"probe": VIEWERS, "rate limits": f"server {REDIS}"}.get(about, about.replace("workers ", "group "))
        for id_ in (at_, f"server {at_}"):
            if id_ in ids:
                return id_
    return None


def _edges(drawn: Iterable[Topic], groups: Sequence[str], ids: set[str]) -> list[Edge]:
    """As topics.yaml has them, and where the groups write to."""
    found = []
    for topic in drawn:
        id_ = f"topic {topic.name}"
        found += [Edge(source=DOOR, target=id_)] if GATEWAY in topic.writers else []
        found += [Edge(source=f"group {name}", target=id_) for name in groups if name in topic.writers]
        found += [Edge(source=id_, target=f"group {name}") for name in groups if name in topic.readers]
    found += [Edge(source=f"group {group}", target=f"server {server}") for group, server in _WRITES.items()]
    found += [Edge(source=f"server {REDIS}", target=VIEWERS), Edge(source=f"server {HISTORY}", target=VIEWERS)]
    return [edge for edge in found if edge.source in ids and edge.target in ids]


def _errors(look: Look) -> list[ErrorView]:
    """What each server said last that was wrong, also where it is well now, and what workers say that are not ready."""
    found = [
        ErrorView(at=at(one.last_error_at * 1000), about=name, says=one.last_error)
        for name, one in look.servers.items()
        if one.last_error and one.last_error_at is not None
    ]
    found += [
        ErrorView(at=at(beat.sent_at_ms), about=f"worker {beat.worker_id}", says=beat.held_by or beat.reason)
        for beat in look.beats
        if not beat.ready and (beat.held_by or beat.reason)
    ]
    if look.probe is not None and look.probe.error:
        found.append(ErrorView(at=at(look.at_ms), about="probe", says=look.probe.error))
    return sorted(found, key=lambda one: one.at, reverse=True)[:ERRORS_MAX]
