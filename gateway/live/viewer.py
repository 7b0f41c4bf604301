"""Those who watch, as the fan-out knows them."""

from typing import Protocol

from gateway.live.position import Position
from gateway.live.scope import View


class Outlet(Protocol):
    """Where one viewer's frames go (`outlet`)."""

    @property
    def full(self) -> bool:
        """What was written is not taken yet. When it is, `FanOut.changed` is to be called."""

    @property
    def pending(self) -> int:
        """Bytes written and not taken."""

    def write(self, data: bytes) -> None:
        """Whole frames. Never blocks; nothing happens once it is closing."""

    def end(self, code: int, reason: str, last: bytes = b"") -> None:
        """Closes behind `last`, within seconds also where the peer reads nothing. Returns at once."""


class Group:
    """Those who watch the same and keep up."""

    __slots__ = ("viewers", "views")

    def __init__(self, views: frozenset[View]) -> None:
        self.views = views
        self.viewers: dict[Viewer, None] = {}  # a set of one is slower to go through, and there are many such


class Viewer:
    """One connection."""

    __slots__ = ("group", "outlet", "positions", "read_s", "views")

    def __init__(self, outlet: Outlet, now_s: float) -> None:
        self.outlet = outlet
        self.views: dict[str, View] = {}  # by scope
        self.group: Group | None = None  # while he keeps up; else
        self.positions: dict[View, Position] = {}  # those that waited longest first
        self.read_s = now_s  # all that was written before then is read
