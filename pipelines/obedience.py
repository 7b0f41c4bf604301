"""What a worker does when it is ordered to: to pause with its group, and to leave. Times are arguments."""

import os
import signal
from collections.abc import Callable

import msgspec
import structlog

from wire import orders
from wire.orders import Drain, Pause

log = structlog.get_logger(__name__)


def leave() -> None:
    """The orderly end, as of SIGTERM: fetches no more, finishes, commits, leaves its group, exit code 0."""
    os.kill(os.getpid(), signal.SIGTERM)


class Obedience:
    """A pause is in force until another order, or its own end. Not hearing anything changes nothing."""

    def __init__(self, started_at_ms: int, hold: Callable[[bool], None], leave: Callable[[], None] = leave) -> None:
        """`hold` is told whether the group is paused, each time it is looked at."""
        self._started_at_ms = started_at_ms
        self._hold = hold
        self._leave = leave
        self._pause: Pause | None = None
        self._since_ms: int | None = None  # when it was held; None: it is not
        self._held_ms = 0  # in pauses that are over
        self._leaving = False
        self._misread: bytes | None = None

    def hear(self, standing: bytes | None, drain: bytes | None) -> None:
        """What lies in Redis; None: nothing does. One that cannot be read changes nothing either."""
        try:
            if standing is not None:
                self._pause = orders.decode_standing(standing).pause
            if drain is not None:
                self._drained(orders.decode_drain(drain))
        except msgspec.DecodeError as error:
            if self._misread != (standing or drain):  # once, not with every heartbeat
                log.warning("an order cannot be read", error=str(error))
            self._misread = standing or drain

    def obey(self, now_ms: int) -> None:
        paused = self._pause is not None and now_ms < self._pause.until_ms
        if paused and self._since_ms is None:
            self._since_ms = now_ms
            log.warning("no further batch is taken", order=self._pause.says if self._pause else "")
        elif not paused and self._since_ms is not None:
            self._held_ms += max(0, now_ms - self._since_ms)
            self._since_ms = None
            log.info("the pause is over; going on")
        self._hold(paused)

    @property
    def says(self) -> str:
        """By whom it is held, until when, and why; "" where it is not."""
        return self._pause.says if self._pause is not None and self._since_ms is not None else ""

    def worked_ms(self, now_ms: int) -> int:
        """The clock without the pauses. What has come meanwhile is not known, so by this clock nobody was quiet."""
        return (now_ms if self._since_ms is None else self._since_ms) - self._held_ms

    def _drained(self, drain: Drain) -> None:
        if self._leaving or drain.at_ms < self._started_at_ms:
            return
        self._leaving = True
        log.warning("drained: finishing, committing and leaving", by=drain.by, reason=drain.reason)
        self._leave()
