"""Probes among the events of students: they come through, and change no number, no verdict and no time."""

import random
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from classroom import BOUNDS, GRACE_MS, NOON_MS, Pipeline, event, new_fold, records, some_events

from pipelines.aggregate.clock import IDLE_MS
from pipelines.aggregate.fold import ECHOES_MAX, Fold
from pipelines.aggregate.folded import FoldedPartition
from pipelines.aggregate.marker import Marker
from pipelines.history.store import select
from pipelines.rebuild.recount import Recount
from pipelines.records import Message
from wire import partials, probe, topics
from wire.events import ActivityEvent
from wire.metrics import ScopeUpdate
from wire.partials import Progress
from wire.probe import Echo

YEARS_LATER_MS = NOON_MS + 5 * 365 * 86_400_000


def probes(number: int, at_ms: int = YEARS_LATER_MS, door: str = "d1") -> list[ActivityEvent]:
    return [probe.event(f"p{n}-{at_ms}-{door}", door, n, at_ms + 5_000 * n) for n in range(number)]


def mixed(rng: random.Random, happened: list[ActivityEvent], between: list[ActivityEvent]) -> list[Message]:
    """As they lie in the topic: of both the order is kept."""
    order = [True] * len(happened) + [False] * len(between)
    rng.shuffle(order)
    real, ours = iter(happened), iter(between)
    out, now_ms = [], 0
    for offset, is_real in enumerate(order):
        one = next(real) if is_real else next(ours)
        now_ms = max(now_ms, one.occurred_at_ms)
        out.append(Message(offset, now_ms, one.student_id.encode(), records([one])[0].value))
    return out


def told(messages: list[Message], chunk: int) -> tuple[dict[Any, Any], Fold]:
    """Told behind every so many events of students."""
    pipeline, batch, number = Pipeline(), [], 0
    for message in messages:
        batch.append(message)
        number += not probe.is_probe((message.key or b"").decode())
        if number == chunk or message is messages[-1]:
            pipeline.folds[0].fold(batch)
            pipeline.tell()
            batch, number = [], 0
    points = pipeline.points.items()
    return {
        key: (point.value, point.n, point.state) for key, point in points if not probe.is_scope(key[0])
    }, pipeline.folds[0]


@pytest.mark.parametrize("seed", range(5))
def test_no_number_and_no_time_is_other_than_without_them_though_they_are_of_years_later(seed: int) -> None:
    rng = random.Random(seed)
    happened = sorted(some_events(rng, 300), key=lambda one: one.occurred_at_ms)
    without, plain = told(records(happened), chunk=7)
    among, fold = told(mixed(rng, happened, probes(40)), chunk=7)
    assert among == without
    assert fold.marker.event_time_ms == plain.marker.event_time_ms
    assert fold.marker.delays == plain.marker.delays
    assert fold.adrift == 0
    assert {learner.id for learner in fold.learners} == {learner.id for learner in plain.learners}
    assert (fold.marker.late, fold.marker.dead) == (plain.marker.late, plain.marker.dead) == (0, 0)


def test_they_are_judged_as_folded_so_that_the_books_agree() -> None:
    fold = new_fold()
    batch = fold.fold(records([event("s1", 0), *probes(3), event("s1", 1)]))
    assert (batch.folded, batch.probes, fold.marker.folded) == (5, 3, 5)


def test_of_each_door_the_newest_is_passed_on_once() -> None:
    fold = new_fold()
    fold.fold(records([*probes(2), *probes(3, door="d2")]))
    assert [(one.door, one.sent_ms, one.scope) for one in fold.echoes()] == [
        ("d1", YEARS_LATER_MS + 5_000, probe.SCOPES[1]),
        ("d2", YEARS_LATER_MS + 10_000, probe.SCOPES[2]),
    ]
    assert fold.echoes() == []


def test_doors_of_long_ago_are_bounded() -> None:
    fold = new_fold()
    fold.fold(records([one for n in range(3 * ECHOES_MAX) for one in probes(1, door=f"d{n}")]))
    doors = [one.door for one in fold.echoes()]
    assert len(doors) == ECHOES_MAX
    assert doors[-1] == f"d{3 * ECHOES_MAX - 1}"


def test_merge_tells_of_them_in_a_scope_of_their_own_which_history_leaves_out() -> None:
    pipeline = Pipeline()
    said = Echo(scope=probe.SCOPES[3], door="d1", sent_ms=NOON_MS)
    pipeline.merge.apply(partials.decode(partials.encode(said)), NOON_MS + 250)
    (update,) = pipeline.merge.updates()
    assert isinstance(update, ScopeUpdate)
    assert update.scope == probe.SCOPES[3]
    assert probe.sent_ms(update.points, "d1") == [NOON_MS]
    assert probe.sent_ms(update.points, "another") == []
    assert update.points[0].value == 0.25
    assert select([update]) == []
    assert pipeline.merge.updates() == []
    assert pipeline.merge.scopes == set()


def test_a_partition_that_gets_nothing_else_is_idle() -> None:
    """Else its event time, which stands still, would hold back every window of the school."""
    folded = FoldedPartition(Marker(0), BOUNDS, GRACE_MS, {}, {}, 0)

    def take(wall_ms: int, happened: list[ActivityEvent]) -> Progress:
        read = folded.fold.read(records(happened, folded.fold.marker.offset + 1))
        folded.read(wall_ms, folded.take(read), len(read))
        folded.look(wall_ms, unread=False)
        (said,) = [one for one in folded.to_merge() if isinstance(one, Progress)]
        return said

    assert not take(0, [event("s1", 0)]).idle
    assert not take(IDLE_MS, probes(1)).idle
    late = take(IDLE_MS + 1, probes(1))
    assert (late.idle, late.offset, late.event_time_ms) == (True, 2, NOON_MS)
    assert not take(IDLE_MS + 2, [event("s1", 1)]).idle


def test_a_rebuild_has_nothing_of_them() -> None:
    recount = Recount([0], BOUNDS, GRACE_MS, NOON_MS)
    recount.fold(0, records([event("s1", 0), *probes(3)]))
    scopes = {update.scope for _, updates in recount.finish(NOON_MS + 60_000) for update in updates}
    assert scopes == {"student:s1", "course:py101", "school:all"}
    assert recount.verdicts.folded == 4


@pytest.mark.parametrize("keys", [probe.STUDENTS, probe.SCOPES])
def test_they_come_by_every_partition(keys: tuple[str, ...]) -> None:
    """One that stands still is found out."""
    for topic in (topics.ACTIVITY, topics.PARTIALS, topics.METRICS):
        partitions = topics.load()[topic].partitions
        assert {(murmur2(key.encode()) & 0x7FFFFFFF) % partitions for key in keys} == set(range(partitions))
