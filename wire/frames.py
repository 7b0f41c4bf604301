"""The live protocol `classpulse.v1` (docs/live-protocol.md): JSON text frames, told apart by `type`."""

from enum import IntEnum, StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Raw, UnsetType

from wire.metrics import Metric, MetricPoint

PROTOCOL = "classpulse.v1"  # the WebSocket's sub-protocol
ONCALL = "oncall"  # a scope of no students: how the whole runs, as `pipeline` and without values

DelayMs = Annotated[int, msgspec.Meta(ge=0, le=86_400_000)]
Delays = Annotated[list[DelayMs], msgspec.Meta(max_length=64)]


class CloseCode(IntEnum):
    """Ours. RFC 6455's own are there too: docs/live-protocol.md."""

    SLOW = 3008
    STOPPING = 3010
    FULL = 3011
    FULL_ADDRESS = 3012
    CHATTER = 3013
    EXPIRED = 3014
    FULL_USER = 3015


class ErrorCode(StrEnum):
    """The connection goes on; the message that caused it has changed nothing."""

    BAD_MESSAGE = "bad_message"
    BAD_SCOPE = "bad_scope"
    FORBIDDEN = "forbidden"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"


class Reason(StrEnum):
    """Why there is a snapshot where updates would have been expected."""

    NONE = ""  # they would not: it is the scope's first
    EPOCH = "epoch"  # the scope has begun anew
    TRIMMED = "trimmed"  # what was missed is not kept any more
    AHEAD = "ahead"  # the viewer has more than Redis: it has lost its last writes
    REREAD = "reread"  # the gateway itself may have missed something


# --- from the gateway ---


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    subscriptions: int
    message_bytes: int
    messages_per_s: int
    ack_within_ms: int  # what is shown and not acknowledged for longer than twice this ends the connection


class Hello(msgspec.Struct, frozen=True, tag="hello", kw_only=True):
    """The first frame of a connection."""

    session: str
    heartbeat_ms: int  # a viewer who has heard nothing for so long asks by a ping
    limits: Limits


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot", kw_only=True, omit_defaults=True):
    """All current values of a scope. The updates that follow have offsets above `offset` within the same epoch."""

    scope: str
    epoch: str  # "" while the scope has never had a value
    offset: int
    values: list[MetricPoint]
    reason: Reason = Reason.NONE
    pipeline: Raw | UnsetType = UNSET  # JSON: all of it, each time


class Resumed(msgspec.Struct, frozen=True, tag="resumed", kw_only=True):
    """What the viewer has counts; each update after `offset` follows."""

    scope: str
    epoch: str
    offset: int


class Update(msgspec.Struct, frozen=True, tag="update", kw_only=True):
    """Values that changed. `skipped` counts the updates folded into this one because the viewer was slow."""

    scope: str
    epoch: str
    offset: int
    values: list[MetricPoint]
    skipped: int = 0
    pipeline: Raw | UnsetType = UNSET  # as of a snapshot


class Stale(msgspec.Struct, frozen=True, tag="stale", kw_only=True):
    """Redis cannot be reached: what is shown is as of `since_ms` (epoch ms). `snapshot` or `resumed` ends it."""

    scope: str
    since_ms: int


class Error(msgspec.Struct, frozen=True, tag="error", kw_only=True):
    code: ErrorCode
    message: str
    retry: bool = False  # whether the same message may be of use later


class Bye(msgspec.Struct, frozen=True, tag="bye", kw_only=True):
    """The last frame before the close with the same `code`."""

    code: CloseCode
    reconnect_after_ms: int


class Pong(msgspec.Struct, frozen=True, tag="pong", kw_only=True):
    pass


# --- from the viewer ---


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", kw_only=True, omit_defaults=True):
    """`metrics`: only these; None: all. `epoch` and `offset`: of what the viewer has of the scope already."""

    scope: str
    metrics: list[Metric] | None = None
    epoch: str | None = None
    offset: int | None = None


class Unsubscribe(msgspec.Struct, frozen=True, tag="unsubscribe", kw_only=True):
    scope: str


class Ack(msgspec.Struct, frozen=True, tag="ack", kw_only=True):
    """Shown: this, and everything that was sent before it, of whatever scope."""

    scope: str
    offset: int


class Measured(msgspec.Struct, frozen=True, tag="measured", kw_only=True):
    """How long updates took from their newest event until their frame came, and until they were on the screen: of
    those since the last time, by the viewer's clock set by the gateway's."""

    frame_ms: Delays
    paint_ms: Delays


class Ping(msgspec.Struct, frozen=True, tag="ping", kw_only=True):
    pass


Frame = Hello | Snapshot | Resumed | Update | Stale | Error | Bye | Pong
Message = Subscribe | Unsubscribe | Ack | Measured | Ping

_TRACE = b',"traceparent":"'
_TRACE_BYTES = len(_TRACE) + 55 + 2  # version 00 of the W3C's, and what closes the frame


def traced(traceparent: str) -> bytes:
    """What the frame of an update ends in on its way through Redis, where it is traced; viewers get it without."""
    return _TRACE + traceparent.encode() + b'"}'


def untraced(data: bytes) -> tuple[bytes, str]:
    """An update's frame as viewers get it, and its `traceparent`; "": it is not traced."""
    at = len(data) - _TRACE_BYTES
    if at < 0 or not data.startswith(_TRACE, at):
        return data, ""
    return data[:at] + b"}", data[at + len(_TRACE) : -2].decode("ascii", "replace")


encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_message_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def decode(data: bytes | str) -> Frame:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)


def decode_message(data: bytes | str) -> Message:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _message_decoder.decode(data)
