"""WebSocket frames: told apart by `type`, the same again after their bytes."""

import json

import msgspec
import pytest

from wire import frames
from wire.frames import Error, Frame, Snapshot, Stale, Update
from wire.metrics import Metric, MetricPoint

POINT = MetricPoint(metric=Metric.ACTIVE_STUDENTS, window_s=300, start_ms=0, value=2, n=9, as_of_ms=299_000)


@pytest.mark.parametrize(
    ("frame", "type_"),
    [
        (Snapshot(scope="course:c", epoch="", offset=0, values=[]), "snapshot"),
        (Update(scope="course:c", epoch="e", offset=7, values=[POINT], skipped=3), "update"),
        (Stale(scope="course:c", since_ms=5), "stale"),
        (Error(code="bad_scope", message="…"), "error"),
    ],
)
def test_a_frame_survives_its_bytes(frame: Frame, type_: str) -> None:
    data = frames.encode(frame)
    assert json.loads(data)["type"] == type_
    assert frames.decode(data) == frame


@pytest.mark.parametrize("data", ["", "{}", '{"type":"farewell"}', '{"type":"stale","scope":"course:c"}'])
def test_what_is_no_frame_is_refused(data: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        frames.decode(data)
