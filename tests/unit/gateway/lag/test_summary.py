"""Partitions add up to groups and groups to the system: the worst first, with counts and its sentence."""

from gateway.lag.board import Board, View
from gateway.lag.causes import Cause
from gateway.lag.samples import Phase, Sample
from gateway.lag.states import State
from gateway.lag.summary import Place

GROUPS = {"aggregate": ("activity", "partials"), "live": ("metrics",)}


def seen(at_s: float, **changes: object) -> Sample:
    fields = {"at_s": at_s, "committed": 10, "position": 10, "first": 0, "end": 10, "owner": "m"} | changes
    return Sample(**fields)  # type: ignore[arg-type]


def board(steps: int, *, stopped: set[Place] | None = None, hot: int | None = None) -> tuple[Board, View]:
    """Two partitions a topic, with a sample every 2 s."""
    made = Board(GROUPS)
    places = [Place(group, topic, number) for group, topics in GROUPS.items() for topic in topics for number in (0, 1)]
    view = made.look(0)
    for number in range(steps):
        at_s = 2.0 * number
        samples = {}
        for place in places:
            if place in (stopped or ()):
                samples[place] = seen(at_s, owner="", phase=Phase.EMPTY, end=10 + 5 * number, read_age_s=at_s)
            elif hot is not None and place.topic == "metrics":
                many = 100 if place.partition == hot else 1
                late = place.partition == hot
                read = 10 + many * number // (2 if late else 1)
                samples[place] = seen(
                    at_s, committed=read, position=read, end=10 + many * number, read_age_s=at_s / 2 if late else None
                )
            else:
                samples[place] = seen(at_s)
        made.take(samples)
        view = made.look(at_s)
    return made, view


def test_where_all_is_well() -> None:
    _, view = board(5)
    assert (view.system.state, dict(view.system.counts)) == (State.OK, {State.OK: 2})
    assert view.system.says == "every group keeps up: aggregate, live"
    assert view.groups["aggregate"].says == "all 4 partitions keep up"
    assert [one.place.partition for one in view.partitions["live"]] == [0, 1]


def test_the_worst_partition_speaks_for_its_group_and_the_worst_group_for_all() -> None:
    _, view = board(15, stopped={Place("aggregate", "partials", 1)})
    group = view.groups["aggregate"]
    assert (group.state, dict(group.counts)) == (State.STOPPED, {State.STOPPED: 1, State.OK: 3})
    assert group.says.startswith(
        "partition 1 of partials: no member has owned it for 28 s and the group has no members"
    )
    assert (group.lag, group.lag_s) == (70, 28)
    assert (view.system.state, dict(view.system.counts)) == (State.STOPPED, {State.STOPPED: 1, State.OK: 1})
    assert view.system.says == f"aggregate is stopped: {group.says}"


def test_how_many_are_alike_is_told() -> None:
    both = {Place("live", "metrics", 0), Place("live", "metrics", 1)}
    _, view = board(15, stopped=both)
    assert view.groups["live"].says.startswith("all 2 partitions; partition 0 of metrics: no member")
    assert view.groups["live"].since_s is not None


def test_a_hot_partition_is_seen_among_its_siblings() -> None:
    _, view = board(30, hot=1)
    cold, hot = view.partitions["live"]
    assert (cold.verdict.state, hot.verdict.state) == (State.OK, State.FALLING_BEHIND)
    assert hot.verdict.cause is Cause.HOT_PARTITION
    assert "99% of what comes into the topic" in view.groups["live"].says


def test_without_samples_it_is_unknown_and_why() -> None:
    made = Board(GROUPS, away="Kafka at nowhere:1: not reached")
    view = made.look(0)
    assert (view.system.state, view.groups["live"].says) == (State.UNKNOWN, "Kafka at nowhere:1: not reached")
    assert view.groups["live"].confidence == 0


def test_without_its_topic_it_is_unknown() -> None:
    made, _ = board(5)
    made.missing = {"metrics"}
    view = made.look(10)
    assert (view.groups["live"].state, view.groups["live"].says) == (State.UNKNOWN, "there is no topic metrics")
    assert view.groups["aggregate"].state is State.OK
