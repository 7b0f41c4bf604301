"""A viewer who holds the gateway to its word: a snapshot, then every change once, by epoch and offset."""

import json
from dataclasses import dataclass, field

from wire import frames
from wire.frames import Frame, Resumed, Snapshot, Stale, Update
from wire.metrics import MetricPoint


@dataclass
class Watched:
    """What a page knows of one scope."""

    epoch: str | None = None  # None: no snapshot yet
    offset: int = 0
    values: dict[str, MetricPoint] = field(default_factory=dict)
    stale: Stale | None = None
    snapshots: int = 0
    resumed: int = 0
    updates: int = 0
    skipped: int = 0
    live: bool = False  # nothing is shown of a new connection before it has begun

    def take(self, frame: Snapshot | Resumed | Update | Stale) -> None:
        """Fails on a gap and on a duplicate."""
        match frame:
            case Snapshot():
                self.epoch, self.offset, self.stale = frame.epoch, frame.offset, None
                self.values = {point.field: point for point in frame.values}
                self.snapshots += 1
                self.live = True
            case Resumed():
                assert (frame.epoch, frame.offset) == (self.epoch, self.offset), (
                    f"at {self.epoch} {self.offset}: {frame}"
                )
                self.stale = None
                self.resumed += 1
                self.live = True
            case Update():
                assert self.live, f"an update before the first snapshot: {frame}"
                assert self.stale is None, f"an update while stale: {frame}"
                assert self.epoch in ("", frame.epoch), f"at epoch {self.epoch}: {frame}"
                assert frame.offset == self.offset + 1 + frame.skipped, f"at offset {self.offset}: {frame}"
                self.epoch, self.offset = frame.epoch, frame.offset
                self.values |= {point.field: point for point in frame.values}
                self.updates += 1
                self.skipped += frame.skipped
            case Stale():
                assert self.stale is None, f"told twice: {frame}"
                self.stale = frame


class Page:
    """What a page knows of all its scopes."""

    def __init__(self, *scopes: str) -> None:
        self.scopes = {scope: Watched() for scope in scopes}
        self.frames: list[Frame] = []

    def take(self, text: str | bytes) -> Frame:
        """Any frame; those of a scope change what is known of it."""
        frame = frames.decode(text)
        assert json.loads(text)["type"], "told apart by type"
        assert not isinstance(frame, frames.Error), frame
        if isinstance(frame, Snapshot | Resumed | Update | Stale):
            self.scopes[frame.scope].take(frame)
        self.frames.append(frame)
        return frame

    def lose(self) -> None:
        """The connection is gone; what is known may be gone on from."""
        for watched in self.scopes.values():
            watched.live, watched.stale = False, None
