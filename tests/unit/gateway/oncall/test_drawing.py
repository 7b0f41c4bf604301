"""What is drawn at each place of the pipeline, from a look at all that is known."""

from gateway.abilities import missing, standings
from gateway.canary import Round
from gateway.lag.board import Board, View
from gateway.lag.broker import Topic as Found
from gateway.lag.rounds import Extent
from gateway.oncall import reasons
from gateway.oncall.changes import Changes
from gateway.oncall.drawing import Flow, view
from gateway.oncall.lookout import Look
from gateway.oncall.places import Node, Pipeline
from gateway.oncall.reasons import Level
from gateway.probes import Finding
from wire import topics
from wire.workers import Heartbeat

NOW_MS = 1_000_000_000
UP = Finding(up=True, latency_ms=2.0, detail="it answers", asked_at=1_000_000, since=999_000)
THERE = topics.load()
GROUPS = {"aggregate": ("activity", "partials"), "live": ("metrics",), "history": ("metrics",)}
EXTENTS = {name: Extent(Found(8, (), {}), {0: 0}, {0: 9}, 5.0) for name in THERE}


def beat(app: str, *, ready: bool = True, reason: str = "", held_by: str = "") -> Heartbeat:
    return Heartbeat(
        worker_id=f"{app}-1", app=app, version="1", pid=1, web_port=1, started_at_ms=0, sent_at_ms=NOW_MS - 1_000,
        partitions={}, events_handled=0, last_progress_ms=None, lag_records=0, loop_lag_ms=0.0, ready=ready,
        reason=reason, held_by=held_by,
    )  # fmt: skip


def drawn(
    servers: dict[str, Finding] | None = None,
    beats: tuple[Heartbeat, ...] = tuple(map(beat, GROUPS)),
    probe: Round | None = None,
    extents: dict[str, Extent] | None = None,
) -> Pipeline:
    found = dict.fromkeys(("kafka", "postgresql", "redis", "history"), UP) | (servers or {})
    idle = [app for app in GROUPS if not any(each.app == app and each.ready for each in beats)]
    lag = Board(GROUPS).look(0.0)
    wrong = reasons.worst_first(
        [*reasons.servers(found), *reasons.pipelines(dict.fromkeys(idle, NOW_MS), {}), *reasons.probe(probe)]
    )
    changes = Changes()
    changes.note(wrong, NOW_MS)
    works = standings(missing(found, dict.fromkeys(idle, "no worker is ready")))
    look = Look(NOW_MS, reasons.level(wrong), wrong, works, probe, None, "", servers=found, beats=beats)
    flow = Flow(accepted=12.346, deliveries=30.0, viewers=4, behind=1)
    view_ = View(0.0, lag.system, lag.groups, lag.partitions)
    return view(look, changes, view_, EXTENTS if extents is None else extents, THERE, flow, NOW_MS)


def nodes(of: Pipeline) -> dict[str, Node]:
    return {node.id: node for node in of.nodes}


def test_every_place_is_drawn_and_events_go_from_the_door_to_the_viewers() -> None:
    pipeline = drawn()
    ways = {
        edge.source: {each.target for each in pipeline.edges if each.source == edge.source} for edge in pipeline.edges
    }
    assert ways["door"] == {"topic activity"}
    assert ways["topic activity"] == {"group aggregate"}
    assert ways["topic metrics"] == {"group live", "group history"}
    assert "server redis" in ways["group live"]
    assert ways["server redis"] == {"viewers"}
    assert {id_ for targets in ways.values() for id_ in targets} | set(ways) <= nodes(pipeline).keys()
    assert (pipeline.verdict, pipeline.first, pipeline.errors) == (Level.OK, None, [])
    assert {node.verdict for node in pipeline.nodes} == {Level.OK}
    assert nodes(pipeline)["door"].rate_in == 12.35
    assert nodes(pipeline)["topic activity"].rate_in == 5.0
    assert nodes(pipeline)["group live"].ready == 1
    assert nodes(pipeline)["viewers"].says == "1 of 4 are behind"


def test_a_server_that_is_away_is_the_first_to_look_at_and_what_needs_it_says_what_becomes_of_it() -> None:
    away = Finding(False, 1_500.0, "no answer within 1.5 s", 1_000_000, 999_990, "no answer within 1.5 s", 1_000_000)
    pipeline = drawn({"kafka": away})
    assert pipeline.first == "server kafka"
    kafka = nodes(pipeline)["server kafka"]
    assert (kafka.verdict, kafka.runbook) == (Level.FAILING, "docs/runbook.md#server_away")
    assert kafka.since is not None
    assert kafka.since.timestamp() == 999_990
    assert nodes(pipeline)["door"].verdict is Level.FAILING
    assert "503" in nodes(pipeline)["door"].says
    assert nodes(pipeline)["topic activity"].verdict is Level.UNKNOWN
    assert [(one.about, one.says) for one in pipeline.errors] == [("kafka", "no answer within 1.5 s")]
    assert [change.about for change in pipeline.changes] == ["system", "kafka"]


def test_a_group_without_a_worker_is_wrong_where_it_is_drawn() -> None:
    held = beat("live", ready=False, reason="redis is away", held_by="redis: refused")
    pipeline = drawn(beats=(beat("aggregate"), beat("history"), held))
    live = nodes(pipeline)["group live"]
    assert (live.verdict, live.workers, live.ready) == (Level.DEGRADED, 1, 0)
    assert live.runbook == "docs/runbook.md#no_worker"
    assert pipeline.first == "group live"
    assert nodes(pipeline)["viewers"].verdict is Level.DEGRADED  # no live value moves without it
    assert nodes(pipeline)["group history"].verdict is Level.OK
    assert [(one.about, one.says) for one in pipeline.errors] == [("worker live-1", "redis: refused")]


def test_a_late_probe_is_told_where_it_should_have_come_to() -> None:
    pipeline = drawn(probe=Round(every_s=5.0, age_s=40.0, latency_s=0.21, error=""))
    viewers = nodes(pipeline)["viewers"]
    assert pipeline.first == "viewers"
    assert (viewers.verdict, viewers.latency_s) == (Level.DEGRADED, 0.21)
    assert viewers.says == "no probe has come back for 40 s"


def test_a_topic_without_leaders_or_that_nobody_has_seen_says_so() -> None:
    some = EXTENTS | {"metrics": Extent(Found(8, (1, 2), {}), {}, {}, None)}
    del some["partials"]
    found = nodes(drawn(extents=some))
    assert found["topic metrics"].says == "2 of 8 partitions have no leader"
    assert found["topic metrics"].verdict is Level.FAILING
    assert found["topic partials"].verdict is Level.UNKNOWN
    assert found["topic partials"].rate_in is None
