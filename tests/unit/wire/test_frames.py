"""WebSocket frames: told apart by `type`, the same again after their bytes."""

import json

import msgspec
import pytest

from wire import frames
from wire.frames import (
    Ack,
    Bye,
    CloseCode,
    Error,
    ErrorCode,
    Frame,
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    Reason,
    Resumed,
    Snapshot,
    Stale,
    Subscribe,
    Unsubscribe,
    Update,
)
from wire.metrics import Metric, MetricPoint, State

POINT = MetricPoint(metric=Metric.ACTIVE_STUDENTS, window_s=300, start_ms=0, value=2, n=9, as_of_ms=299_000)
FINAL = msgspec.structs.replace(POINT, state=State.FINAL, watermark_ms=420_000)


@pytest.mark.parametrize(
    ("frame", "type_"),
    [
        (Snapshot(scope="course:c", epoch="", offset=0, values=[]), "snapshot"),
        (Update(scope="course:c", epoch="e", offset=7, values=[POINT, FINAL], skipped=3), "update"),
        (Update(scope="school:all", epoch="e", offset=7, values=[FINAL]), "update"),
        (Stale(scope="course:c", since_ms=5), "stale"),
        (Error(code=ErrorCode.BAD_SCOPE, message="…"), "error"),
        (Snapshot(scope="course:c", epoch="e", offset=1, values=[POINT], reason=Reason.TRIMMED), "snapshot"),
        (Resumed(scope="course:c", epoch="e", offset=1), "resumed"),
        (Bye(code=CloseCode.SLOW, reconnect_after_ms=5), "bye"),
        (Pong(), "pong"),
        (
            Hello(
                session="s",
                heartbeat_ms=1,
                limits=Limits(subscriptions=1, message_bytes=2, messages_per_s=3, ack_within_ms=4),
            ),
            "hello",
        ),
    ],
)
def test_a_frame_survives_its_bytes(frame: Frame, type_: str) -> None:
    data = frames.encode(frame)
    assert json.loads(data)["type"] == type_
    assert frames.decode(data) == frame


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (Subscribe(scope="course:c"), '{"type":"subscribe","scope":"course:c"}'),
        (
            Subscribe(scope="course:c", metrics=[Metric.ERROR_RATE], epoch="e", offset=0),
            '{"type":"subscribe","scope":"course:c","metrics":["error_rate"],"epoch":"e","offset":0}',
        ),
        (Unsubscribe(scope="course:c"), '{"type":"unsubscribe","scope":"course:c"}'),
        (Ack(scope="course:c", offset=7), '{"type":"ack","scope":"course:c","offset":7}'),
        (Ping(), '{"type":"ping"}'),
    ],
)
def test_a_message_is_as_short_as_it_can_be(message: Message, data: str) -> None:
    assert frames.encode(message).decode() == data
    assert frames.decode_message(data) == message


def test_what_is_usual_of_a_value_is_left_out() -> None:
    """Most values are provisional, and a label is rare: frames are shorter by a tenth."""
    usual, final = json.loads(frames.encode(Update(scope="course:c", epoch="e", offset=1, values=[POINT, FINAL])))[
        "values"
    ]
    assert set(usual) == {"metric", "window_s", "start_ms", "value", "n", "as_of_ms"}
    assert (final["state"], final["watermark_ms"]) == ("final", 420_000)


@pytest.mark.parametrize("data", ["", "{}", '{"type":"farewell"}', '{"type":"stale","scope":"course:c"}'])
def test_what_is_no_frame_is_refused(data: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        frames.decode(data)
