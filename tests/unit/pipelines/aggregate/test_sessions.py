"""Sessions and active time, against the same counted from all moments in order."""

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate.sessions import CAP_MS, GAP_MS, Sessions, active_ms, visit
from pipelines.aggregate.windows import DAY_MS

MINUTE_MS = 60_000
MOMENTS = st.lists(st.integers(0, 600).map(lambda minute: minute * MINUTE_MS // 2), min_size=1, max_size=40)


EVENING_MS = DAY_MS - 150 * MINUTE_MS  # of MOMENTS from there on a day ends in the middle


def truth(moments: list[int]) -> dict[int, tuple[int, int]]:
    """Epoch day → sessions that begin on it, active ms in them."""
    ordered = sorted(set(moments))
    out: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    day = ordered[0] // DAY_MS
    out[day][0] += 1
    for before, after in pairwise(ordered):
        gap = after - before
        if gap > GAP_MS:
            day = after // DAY_MS
            out[day][0] += 1
        else:
            out[day][1] += min(gap, CAP_MS)
    return {day: (number, active) for day, (number, active) in out.items()}


@pytest.mark.parametrize(
    ("minutes", "sessions", "active_min"),
    [
        #  a moment a minute, then none for 10 min, which count as 5
        ([0, 1, 2, 12], 1, 2 + 5),
        #  a gap of half an hour is still one session, one of more is two
        ([0, 30], 1, 5),
        ([0, 31], 2, 0),
        ([0], 1, 0),
    ],
)
def test_a_gap_counts_up_to_five_minutes_and_beyond_half_an_hour_begins_a_session(
    minutes: list[int], sessions: int, active_min: int
) -> None:
    of = Sessions()
    for minute in minutes:
        visit(of.runs, minute * MINUTE_MS)
    assert of.by_day() == {0: (sessions, active_min * MINUTE_MS)}


@given(MOMENTS, st.randoms())
def test_any_order_of_moments_gives_what_they_give_in_order(moments: list[int], rng: object) -> None:
    shuffled = moments[:]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    of = Sessions()
    for at_ms in shuffled:
        visit(of.runs, at_ms)
    assert of.by_day() == truth(moments)
    (_, active), *_ = [truth(moments).get(0, (0, 0))]
    assert active_ms(of.runs) == active


@given(MOMENTS, st.integers(0, 60))
def test_what_is_settled_early_counts_the_same(moments: list[int], lateness_min: int) -> None:
    """Time goes on with the newest moment; one further behind does not come any more."""
    of, taken, newest_ms = Sessions(), [], 0
    for moment in moments:
        at_ms = EVENING_MS + moment
        newest_ms = max(newest_ms, at_ms)
        complete_from_ms = newest_ms - lateness_min * MINUTE_MS
        if at_ms >= complete_from_ms:
            before = of.by_day()
            visit(of.runs, at_ms)
            taken.append(at_ms)
            after = of.by_day()
            changed = {day for day in before.keys() | after.keys() if before.get(day) != after.get(day)}
            assert changed <= of.days_of(at_ms)
        of.settle(complete_from_ms)
    assert of.by_day() == truth(taken)


def test_a_moment_changes_no_day_of_another_session() -> None:
    of = Sessions()
    for at_ms in (0, DAY_MS // 2, 2 * DAY_MS, 2 * DAY_MS + 40 * MINUTE_MS):
        visit(of.runs, at_ms)
        assert of.days_of(at_ms) == {at_ms // DAY_MS}
    visit(of.runs, 2 * DAY_MS - 20 * MINUTE_MS)  # what began at midnight has begun the day before
    assert of.days_of(2 * DAY_MS - 20 * MINUTE_MS) == {1, 2}
