"""What must be counted while it happens, or looked at again and again, to be told as a rate."""

import asyncio
import time
from typing import NoReturn

import structlog

from gateway.ending import ended
from gateway.ingest.lanes import Acknowledged
from gateway.live.feed import Feed
from gateway.oncall import exported
from gateway.oncall.rate import Rate
from gateway.oncall.spread import Lately, Spread

EVERY_S = 5.0
LIVE, PROBE = "classpulse_live_latency_seconds", "classpulse_probe_latency_seconds"

log = structlog.get_logger(__name__)


class Meters:
    def __init__(self, feed: Feed, acknowledged: Acknowledged) -> None:
        """`acknowledged`: who else is told of what `note` is."""
        now_s = time.monotonic()
        self.accepted = Rate(now_s)
        self.deliveries = Rate(now_s)
        self._feed = feed
        self._acknowledged = acknowledged
        self._lately = Lately()
        self._task: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="meters")

    async def stop(self) -> None:
        await ended(self._task)

    def note(self, partition: int, first: int, last: int) -> None:
        """Offsets of `activity` that Kafka has acknowledged to this process."""
        self._acknowledged(partition, first, last)
        self.accepted.add(last - first + 1, time.monotonic())

    def latencies(self) -> dict[str, Spread]:
        """`probe`, `gateway`, `frame` and `paint`, as far as there are any: of the last 5 to 10 minutes."""
        return {name: self._lately.of(name, spread) for name, spread in _latencies().items()}

    async def _run(self) -> NoReturn:
        while True:
            try:
                self.look()
            except Exception:  # a fault of ours: the rates stand still, and all else goes on
                log.exception("the meters could not be read")
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        now_s = time.monotonic()
        self.deliveries.add(self._feed.fanout.deliveries - self.deliveries.total, now_s)
        self._lately.turn(_latencies(), now_s)


def _latencies() -> dict[str, Spread]:
    found = exported.families()
    rounds = exported.spreads(found, PROBE).get("")
    live = exported.spreads(found, LIVE, "at")
    return live if rounds is None else {"probe": rounds, **live}
