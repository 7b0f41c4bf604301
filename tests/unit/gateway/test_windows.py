"""The sliding window's arithmetic."""

from hypothesis import given
from hypothesis import strategies as st
from limits import parse

from gateway.security.windows import Count, Window, Windows

TEN = Window("reads", "192.0.2.1", parse("10/minute"))
FIVE = Window("reads-per-user", "kim", parse("5/second"))


def _of(of: str) -> Window:
    return Window(TEN.policy, of, TEN.rate)


hits = st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 10)), max_size=30)


def test_the_window_before_slides_out() -> None:
    windows = Windows()
    assert [windows.take([TEN], 1, 1_000).fits for _ in range(11)] == [True] * 10 + [False]
    assert windows.look(TEN, 60_999) == Count(0, 10, 1)
    assert windows.look(TEN, 61_000) == Count(10, 0, 60_000)
    assert windows.look(TEN, 91_000).used(TEN) == 5
    assert windows.look(TEN, 121_000) == Count(0, 0, 60_000)
    assert windows.take([TEN], 5, 91_000).fits
    assert not windows.take([TEN], 1, 91_000).fits


def test_it_is_counted_in_all_windows_or_in_none() -> None:
    windows = Windows()
    assert windows.take([TEN, FIVE], 5, 0).fits
    refused = windows.take([TEN, FIVE], 1, 0)
    assert (refused.fits, [count.current for count in refused.counts]) == (False, [5, 5])
    assert windows.take([TEN], 5, 0).fits


def test_more_at_once_than_the_rate_never_fits() -> None:
    assert not Windows().take([TEN], 11, 0).fits


def test_who_was_not_seen_for_longest_is_forgotten() -> None:
    windows = Windows(kept_max=2)
    for of in ("a", "b", "a", "c"):
        windows.take([_of(of)], 1, 0)
    assert [windows.look(_of(of), 0).current for of in "abc"] == [2, 0, 1]


@given(hits)
def test_never_more_within_a_window_and_what_is_left_of_the_one_before(asked: list[tuple[int, int]]) -> None:
    windows, now_ms = Windows(), 0
    for wait_ms, cost in asked:
        now_ms += wait_ms
        before = windows.look(TEN, now_ms)
        taken = windows.take([TEN], cost, now_ms)
        assert taken.fits == (before.used(TEN) + cost <= 10)
        assert taken.counts[0].used(TEN) <= 10
        assert taken.counts[0].room(TEN) == 10 - taken.counts[0].used(TEN)


@given(hits, st.integers(1, 10))
def test_the_wait_is_the_shortest_after_which_it_fits(asked: list[tuple[int, int]], cost: int) -> None:
    windows, now_ms = Windows(), 0
    for wait_ms, hit in asked:
        now_ms += wait_ms
        windows.take([TEN], hit, now_ms)
    wait_ms = windows.look(TEN, now_ms).wait_ms(TEN, cost)
    assert 0 <= wait_ms <= 120_000
    assert windows.look(TEN, now_ms + wait_ms).used(TEN) + cost <= 10
    if wait_ms:
        assert windows.look(TEN, now_ms + wait_ms - 1).used(TEN) + cost > 10
