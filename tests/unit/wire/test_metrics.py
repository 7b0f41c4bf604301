"""Metric points: names, windows, bytes."""

import msgspec
import pytest

from wire import metrics
from wire.metrics import HISTORY_STEP_MS, WINDOW_S, Metric, MetricPoint, ScopeUpdate
from wire.partials import DISTINCT_PANES, PANE_S

POINT = MetricPoint(
    metric=Metric.EVENTS_BY_KIND, label="code_run", window_s=86_400, start_ms=0, value=3, n=3, as_of_ms=5
)


def test_a_point_is_named_by_metric_and_label() -> None:
    assert POINT.field == "events_by_kind:code_run"
    assert msgspec.structs.replace(POINT, metric=Metric.ERROR_RATE, label="").field == "error_rate"


def test_a_window_ends_where_the_next_begins() -> None:
    assert POINT.end_ms == 86_400_000


def test_every_metric_has_a_window_made_of_whole_panes() -> None:
    assert set(WINDOW_S) == set(Metric)
    assert all(window_s % PANE_S == 0 for window_s in WINDOW_S.values())
    assert HISTORY_STEP_MS % (PANE_S * 1000) == 0
    assert WINDOW_S[Metric.ACTIVE_STUDENTS] <= DISTINCT_PANES * PANE_S  # further back, distinct counts are not exact


def test_an_update_survives_its_bytes_and_a_newer_writer() -> None:
    update = ScopeUpdate(scope="course:c", points=[POINT])
    assert metrics.decode(metrics.encode(update)) == update
    assert metrics.decode(metrics.encode(update).replace(b"{", b'{"later":1,', 1)) == update
    assert metrics.decode_point(metrics.encode(POINT)) == POINT


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"scope":"course:c","points":[{"metric":"happiness"}]}', b'{"scope":1}']
)
def test_what_is_no_update_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        metrics.decode(data)
