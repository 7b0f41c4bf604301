"""What a sink does with a store that is there and does not take something. A store that is away, and real ones:
tests/integration/test_sinks.py."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_process import point

from pipelines.records import Message
from pipelines.sink import NotWanted, Store, parked
from wire import metrics, topics
from wire.dead_letters import Reason
from wire.metrics import MetricPoint, ScopeUpdate


class NotTakenError(Exception):
    pass


class AwayError(Exception):
    pass


class Kept:
    """A store in memory: it refuses some values, and is away as often as it is told to be. What comes last stays."""

    def __init__(self, bad: set[int] | None = None, heals_after: int = 1_000_000, away: int = 0) -> None:
        self.bad = bad or set()
        self.heals_after = heals_after
        self.away = away
        self.refusals = 0
        self.held: dict[tuple[str, str, int], MetricPoint] = {}
        self.store = Store("kept", self.write, self.close, (AwayError,), self.refuses, retry_pauses_s=(0.0, 0.0))

    async def write(self, updates: Sequence[ScopeUpdate]) -> int:
        if self.away:
            self.away -= 1
            raise AwayError
        points = [(update.scope, point) for update in updates for point in update.points]
        if self.refusals < self.heals_after and any(int(point.value) in self.bad for _, point in points):
            self.refusals += 1
            raise NotTakenError("no")
        self.held |= {(scope, point.field, point.start_ms): point for scope, point in points}
        return len(points)

    async def close(self) -> None:
        pass

    @staticmethod
    def refuses(error: Exception) -> bool:
        return isinstance(error, NotTakenError)


def update(*values: int, scope: str = "course:c") -> ScopeUpdate:
    return ScopeUpdate(scope=scope, points=[point(value, minute=value) for value in values])


@given(sizes=st.lists(st.integers(1, 8), max_size=30), bad=st.sets(st.integers(0, 239), max_size=5))
async def test_only_the_points_that_are_not_taken_are_left_and_they_know_whose_they_are(
    sizes: list[int], bad: set[int]
) -> None:
    values = iter(range(240))
    updates = [update(*(next(values) for _ in range(size))) for size in sizes]
    told = {int(point.value) for one in updates for point in one.points}
    kept = Kept(bad)
    left = await kept.store.settle(updates)
    assert {int(point.value) for point in kept.held.values()} == told - bad
    assert {int(point.value) for one in left for point in one.update.points} == told & bad
    for one in left:
        assert [point for point in updates[one.number].points if int(point.value) in bad] == one.update.points


async def test_what_is_taken_in_the_second_or_third_try_is_not_parked() -> None:
    #   try    1          2    3
    #   writes ✗ (halved) ✗    ✓
    once = Kept({1}, heals_after=1)
    assert await once.store.settle([update(1)]) == []
    twice = Kept({1}, heals_after=2)
    assert await twice.store.settle([update(1)]) == []
    three_times = Kept({1}, heals_after=3)
    (left,) = await three_times.store.settle([update(1)])
    assert (three_times.refusals, str(left.error)) == (3, "no")


async def test_an_older_value_that_was_refused_is_not_written_over_a_newer_one() -> None:
    older = update(7)
    newer = ScopeUpdate(scope=older.scope, points=[msgspec.structs.replace(older.points[0], value=8.0)])
    elsewhere = ScopeUpdate(scope="course:d", points=older.points)
    kept = Kept({7}, heals_after=4)  # the three together, the older with one other, and each of the two alone
    assert await kept.store.settle([older, newer, elsewhere]) == []
    assert {scope: held.value for (scope, *_), held in kept.held.items()} == {"course:c": 8.0, "course:d": 7.0}


async def test_a_store_that_is_away_is_waited_for_and_that_is_no_try() -> None:
    kept = Kept(away=4)
    said = []

    def wanted() -> bool:
        said.append(kept.store.away)
        return True

    assert await kept.store.settle([update(1)], wanted) == []
    assert len(kept.held) == 1
    assert set(said) == {"", "kept: AwayError"}
    assert not kept.store.away


async def test_what_our_own_code_cannot_write_is_parked_as_well() -> None:
    kept = Kept()

    async def write(updates: Sequence[ScopeUpdate]) -> int:
        return sum(1 // int(point.value) for one in updates for point in one.points)

    store = Store("kept", write, kept.close, (AwayError,), kept.refuses, retry_pauses_s=())
    (left,) = await store.settle([update(1), update(0, 2)])
    assert isinstance(left.error, ZeroDivisionError)
    assert (left.number, left.update) == (1, update(0))


async def test_a_partition_that_is_given_away_is_not_tried_on() -> None:
    kept = Kept({1})
    with pytest.raises(NotWanted):
        await kept.store.settle([update(1), update(2)], lambda: not kept.refusals)
    assert not kept.held


async def test_a_parked_letter_says_where_it_was_told_whose_store_it_was_and_why() -> None:
    kept = Kept({2})
    (left,) = await kept.store.settle([update(1, 2, 3)])
    letter = parked(kept.store, 5, Message(41, 1_768_471_200_500, b"course:c", b"all three"), left)
    assert (letter.topic, letter.partition, letter.offset) == (topics.METRICS, 5, 41)
    assert (letter.key, letter.sink, letter.tries) == (b"course:c", "kept", 3)
    assert (letter.reason, letter.detail) == (Reason.REFUSED, "NotTakenError: no")
    assert metrics.decode(letter.value or b"") == update(2)
