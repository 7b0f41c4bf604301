"""Counts by bucket, their quantiles, and what has come of them lately."""

import math

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram

from gateway.oncall import exported
from gateway.oncall.rate import Rate
from gateway.oncall.spread import NOTHING, Lately, Spread, Tally, of_buckets


def tally(*took_s: float) -> Spread:
    found = Tally()
    for each in took_s:
        found.add(each)
    return found.spread()


def test_quantiles_lie_in_the_bucket_of_what_they_tell() -> None:
    spread = tally(*[0.004] * 90, *[0.2] * 9, 7.0)
    assert spread.count == 100
    assert 0.0025 < (spread.quantile_s(0.5) or 0) <= 0.005
    assert 0.1 < (spread.quantile_s(0.95) or 0) <= 0.25
    assert (spread.quantile_s(0.99), spread.quantile_s(1.0)) == (0.25, 10.0)
    assert spread.mean_s == pytest.approx((90 * 0.004 + 9 * 0.2 + 7) / 100)
    assert tally(60.0).quantile_s(0.5) == 10.0
    assert (NOTHING.quantile_s(0.5), NOTHING.mean_s) == (None, None)


def test_prometheus_buckets_are_the_same() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("live_seconds", "x", ["at"], registry=registry, buckets=(0.1, 1, 5))
    for took_s in (0.05, 0.5, 0.5, 9.0):
        histogram.labels("paint").observe(took_s)
    found = exported.spreads(registry.collect(), "live_seconds", "at")["paint"]
    assert (list(found.bounds_s), list(found.counts), found.total_s) == ([0.1, 1, 5], [1, 2, 0, 1], 10.05)
    assert of_buckets({0.1: 1, 1.0: 3, 5.0: 3, math.inf: 4}, 10.05) == found


def test_numbers_that_json_has_not() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("g", "x", registry=registry)
    told = []
    for value in (1.5, math.nan, math.inf, -math.inf):
        gauge.set(value)
        told.append(exported.number(next(iter(registry.collect())).samples[0].value))
    assert told == [1.5, "NaN", "+Inf", "-Inf"]


def test_lately_leaves_out_what_is_long_ago() -> None:
    """Each | a turn, seconds of 100: 0 s: 1 | 100 s: 2 | 400 s: 3 | 700 s: 4"""
    lately = Lately()
    total = [tally(*[0.004] * number) for number in range(5)]
    lately.turn({"x": total[1]}, 0)
    lately.turn({"x": total[2]}, 100)
    assert lately.of("x", total[2]).count == 1  # the first was there before
    lately.turn({"x": total[3]}, 400)
    assert lately.of("x", total[3]).count == 2
    lately.turn({"x": total[4]}, 700)
    assert lately.of("x", total[4]).count == 1
    assert lately.of("y", total[4]).count == 4
    assert lately.of("x", total[1]).count == 1  # counts anew: a process of several was restarted


def test_a_rate_is_of_the_last_minute() -> None:
    rate = Rate(0.0)
    rate.add(30, 0.5)
    assert rate.per_s(0.5) == 30  # over a second at least
    rate.add(30, 10.0)
    assert rate.per_s(10.0) == 6
    assert rate.per_s(69.0) == 0.5
    assert (rate.per_s(75.0), rate.total) == (0, 60)
