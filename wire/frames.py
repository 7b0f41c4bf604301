"""What a viewer gets over the WebSocket: JSON text frames, told apart by `type`."""

import msgspec

from wire.metrics import MetricPoint


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot", kw_only=True):
    """All current values of a scope. The updates that follow have offsets above `offset` within the same epoch."""

    scope: str
    epoch: str  # "" while the scope has never had a value
    offset: int
    values: list[MetricPoint]


class Update(msgspec.Struct, frozen=True, tag="update", kw_only=True):
    """Values that changed. `skipped` counts the updates folded into this one because the viewer was slow."""

    scope: str
    epoch: str
    offset: int
    values: list[MetricPoint]
    skipped: int = 0


class Stale(msgspec.Struct, frozen=True, tag="stale", kw_only=True):
    """Redis cannot be reached: what is shown is as of `since_ms` (epoch ms). A fresh snapshot ends it."""

    scope: str
    since_ms: int


class Error(msgspec.Struct, frozen=True, tag="error", kw_only=True):
    code: str
    message: str


Frame = Snapshot | Update | Stale | Error

encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)


def decode(data: bytes | str) -> Frame:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)
