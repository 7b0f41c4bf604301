"""When viewers are given what there is: soon after something has changed, and those who do not read are let go."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from gateway.live.fanout import FanOut
from gateway.live.framing import text
from gateway.live.viewer import Outlet
from wire import frames
from wire.frames import Bye, CloseCode

log = structlog.get_logger(__name__)

TICK_S = 0.005  # what changes within it is one write a viewer
SWEEP_EVERY_S = 1.0
SLOW_SPREAD_MS = 5_000
EXPIRED_SPREAD_MS = 1_000  # he comes back with another token, or not at all
STOP_SPREAD_MS_MIN = 1_000
STOP_SPREAD_MS_A_VIEWER = 2  # so that a thousand come back a second, which one process can take
STOP_SPREAD_MS_MAX = 30_000

REASONS = {
    CloseCode.SLOW: "too slow",
    CloseCode.STOPPING: "the gateway stops",
    CloseCode.FULL: "too many viewers",
    CloseCode.FULL_ADDRESS: "too many viewers from this address",
    CloseCode.CHATTER: "too many messages",
    CloseCode.FULL_USER: "too many viewers of this user",
    CloseCode.EXPIRED: "the access token has expired",
}


class Bounds(NamedTuple):
    """Of one viewer."""

    behind_s: float = 10.0  # what was told so long ago must have been read
    pending_bytes: int = 1 << 20  # that may lie before him in this process


BOUNDS = Bounds()


def farewell(outlet: Outlet, code: CloseCode, spread_ms: int) -> None:
    """Ends a connection, with word of when to come back: after a time between half of `spread_ms` and all of it, so
    that those who are sent away together do not come back together."""
    bye = Bye(code=code, reconnect_after_ms=round(spread_ms * random.uniform(0.5, 1)))  # noqa: S311 -- jitter
    outlet.end(code, REASONS[code], text(frames.encode(bye)))


def stopping(outlet: Outlet, viewers: int) -> None:
    """`viewers`: who are all sent away now."""
    farewell(
        outlet, CloseCode.STOPPING, min(STOP_SPREAD_MS_MIN + STOP_SPREAD_MS_A_VIEWER * viewers, STOP_SPREAD_MS_MAX)
    )


def expiring(outlet: Outlet, expires_s: float | None) -> asyncio.TimerHandle | None:
    """Ends it then (epoch). Whoever begins one must cancel it with the connection."""
    if expires_s is None:
        return None
    left_s = max(0.0, expires_s - time.time())
    return asyncio.get_running_loop().call_later(left_s, farewell, outlet, CloseCode.EXPIRED, EXPIRED_SPREAD_MS)


class Delivery:
    def __init__(self, bounds: Bounds, flushed: Callable[[], None]) -> None:
        """`flushed` is called after everybody was given what there was."""
        self.fanout = FanOut(self._changed)
        self._bounds = bounds
        self._flushed = flushed
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(SWEEP_EVERY_S)
                try:
                    self._sweep(loop.time())
                except Exception:
                    log.exception("slow viewers were not looked for; delivery goes on")
        finally:
            self._stopped = True
            if self._timer is not None:
                self._timer.cancel()

    def _sweep(self, now_s: float) -> None:
        for viewer in self.fanout.late(now_s - self._bounds.behind_s, self._bounds.pending_bytes):
            log.info("a viewer was too slow and is cut off", scopes=len(viewer.views))
            self.fanout.leave(viewer)
            farewell(viewer.outlet, CloseCode.SLOW, SLOW_SPREAD_MS)

    def _changed(self) -> None:
        if self._timer is None and not self._stopped:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self.fanout.flush(asyncio.get_running_loop().time())
        self._flushed()
