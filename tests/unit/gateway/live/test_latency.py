"""What an update tells of how long its newest event took."""

import pytest

from gateway.live.latency import LONG_AGO_MS, Latency
from wire.frames import Update
from wire.metrics import Metric, MetricPoint

NOW_MS = 1_764_000_000_000


def update(as_of_ms: int, *, value: float = 3, metric: Metric = Metric.EVENTS_PER_MINUTE) -> Update:
    point = MetricPoint(metric=metric, window_s=60, start_ms=NOW_MS - 60_000, value=value, n=3, as_of_ms=as_of_ms)
    return Update(scope="course:py101", epoch="e", offset=1, values=[point])


def test_each_newer_event_is_measured_once_when_it_is_written() -> None:
    latency = Latency()
    for _ in range(2):  # of the course, and of its school
        latency.take(update(NOW_MS - 100), NOW_MS)
    latency.take(update(NOW_MS - 90), NOW_MS)
    assert latency.written(NOW_MS + 5) == [105, 95]
    assert latency.written(NOW_MS + 10) == []


@pytest.mark.parametrize(
    "nothing",
    [
        update(NOW_MS - 100, value=0),  # told time went on in a quiet room
        update(NOW_MS - 100, metric=Metric.ACTIVE_STUDENTS),
        update(NOW_MS + 1),
        update(NOW_MS - LONG_AGO_MS),
    ],
)
def test_what_brings_no_event_of_now_is_not_measured_and_hides_none(nothing: Update) -> None:
    latency = Latency()
    latency.take(nothing, NOW_MS)
    assert latency.written(NOW_MS) == []
    latency.take(update(NOW_MS - 50), NOW_MS)
    assert latency.written(NOW_MS) == [50]
