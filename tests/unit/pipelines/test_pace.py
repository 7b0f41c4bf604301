"""How the tick and the commit stretch under load."""

import pytest

from pipelines.pace import Busy, gap_s
from pipelines.publisher import LONGEST_S, QUIET_S

SHARE = 0.075


def gap(took_s: float, busy: float = 1.0) -> float:
    return gap_s(took_s, SHARE, busy, QUIET_S, LONGEST_S)


def test_quiet_it_ticks_ten_times_a_second() -> None:
    assert gap(0.0, busy=0.0) == 0.1
    assert gap(0.08, busy=0.0) == 0.1


@pytest.mark.parametrize("took_s", [0.01, 0.1, 0.4])
def test_under_full_load_publishing_takes_its_share_of_the_time(took_s: float) -> None:
    assert took_s / (took_s + gap(took_s)) == pytest.approx(SHARE)


def test_what_is_idle_shortens_the_gap() -> None:
    gaps = [gap(0.2, busy=1 - idle / 10) for idle in range(11)]
    assert gaps == sorted(gaps, reverse=True)
    assert gap(0.2, busy=0.5) < gap(0.2) / 4


def test_values_never_grow_older_than_the_longest_gap() -> None:
    assert gap(3.0) == LONGEST_S


def test_the_longer_it_took_the_longer_it_waits() -> None:
    gaps = [gap(took_s / 100) for took_s in range(200)]
    assert gaps == sorted(gaps)


def test_busy_is_the_share_of_the_time_since_it_was_asked_last() -> None:
    """
    wall    0 ─────── 4 ── 5
    worked  0 ─────── 1 ── 2
    """
    wall, worked = iter([0.0, 4.0, 5.0]), iter([0.0, 1.0, 2.0])
    busy = Busy(lambda: next(wall), lambda: next(worked))
    assert busy.share() == 0.25
    assert busy.share() == 1.0
