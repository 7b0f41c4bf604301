"""What is made of probes that come back, or do not."""

import pytest

from gateway.canary import LATE_S, UNDER_WAY_MAX, Flights, Round


def test_the_newest_that_came_back_says_how_long_it_took_and_how_old_that_is() -> None:
    flights = Flights()
    assert (flights.age_s(100), flights.latency_s) == (0, None)
    flights.sent(1_000, 10.0)
    assert flights.age_s(12.5) == 2.5  # none has come back: since the first was sent
    assert flights.seen(1_000, 10.4) == pytest.approx(0.4)
    assert flights.latency_s == pytest.approx(0.4)
    flights.sent(6_000, 15.0)
    assert flights.age_s(16.0) == 6.0


def test_each_counts_once_and_one_that_is_overtaken_not_at_all() -> None:
    flights = Flights()
    for number in range(3):
        flights.sent(number, float(number))
    assert flights.seen(1, 5.0) == 4.0
    assert flights.seen(1, 6.0) is None  # a snapshot tells of it again
    assert flights.seen(0, 6.0) is None  # of another partition, and slower
    assert flights.seen(99, 6.0) is None  # of another life
    assert flights.seen(2, 6.0) == 4.0


def test_those_that_never_come_back_are_bounded() -> None:
    flights = Flights()
    for number in range(2 * UNDER_WAY_MAX):
        flights.sent(number, float(number))
    assert flights.seen(0, 9_999.0) is None
    assert flights.age_s(2_000.0) == 2_000.0


@pytest.mark.parametrize(
    ("every_s", "age_s", "late"), [(5, 14, False), (5, LATE_S + 1, True), (60, 170, False), (60, 181, True)]
)
def test_several_in_a_row_must_be_missing_before_it_is_late(every_s: float, age_s: float, late: bool) -> None:
    assert Round(every_s, age_s, 0.3, "").is_late is late
