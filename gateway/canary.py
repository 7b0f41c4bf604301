"""Does it work: an event of our own every few seconds, from the publisher of the door through Kafka, fold, merge and
Redis to the fan-out, as a viewer gets it (wire/probe.py). How long ago one came back, and how long it took, is what no
check of a single server tells.
"""

import asyncio
import random
import secrets
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import structlog

from gateway import telemetry
from gateway.ending import ended
from gateway.ingest.publisher import Publisher, PublisherAwayError
from gateway.live import framing
from gateway.live.feed import Feed
from gateway.live.viewer import Viewer
from wire import frames, probe
from wire.frames import Snapshot, Update

log = structlog.get_logger(__name__)

UNDER_WAY_MAX = 1_000  # that are waited for; of those before nobody knows how long they took
LATE_ROUNDS = 3  # without one that has come back, something is wrong; one may be lost to a restart
LATE_S = 15.0  # and at least so long: a restarted worker takes some seconds to read on


class Round(NamedTuple):
    """What is known now."""

    every_s: float
    age_s: float  # since the newest probe was sent that has come back; where none has, since the first was
    latency_s: float | None  # of that one; None: none has come back
    error: str  # why the newest could not be sent, or ""

    @property
    def is_late(self) -> bool:
        return self.age_s > max(LATE_S, LATE_ROUNDS * self.every_s)


class Flights:
    """The probes under way. Pure; times are monotonic seconds, and a probe is known by its epoch ms."""

    def __init__(self) -> None:
        self._out: dict[int, float] = {}
        self._first_s: float | None = None
        self._back_s: float | None = None  # when the newest that has come back was sent
        self.latency_s: float | None = None

    def sent(self, sent_ms: int, now_s: float) -> None:
        if self._first_s is None:
            self._first_s = now_s
        self._out[sent_ms] = now_s
        if len(self._out) > UNDER_WAY_MAX:
            del self._out[next(iter(self._out))]

    def seen(self, sent_ms: int, now_s: float) -> float | None:
        """How long it took, said once of each; one that comes behind a later one is no news."""
        sent_s = self._out.pop(sent_ms, None)
        if sent_s is None:
            return None
        for before in [other for other in self._out if other < sent_ms]:
            del self._out[before]
        self._back_s, self.latency_s = sent_s, now_s - sent_s
        return self.latency_s

    def age_s(self, now_s: float) -> float:
        since_s = self._back_s if self._back_s is not None else self._first_s
        return 0.0 if since_s is None else now_s - since_s


class Canary:
    """Also the outlet of its viewer (`viewer.Outlet`), who reads at once."""

    full = False
    pending = 0

    def __init__(
        self,
        publisher: Publisher,
        feed: Feed,
        every_s: float,
        clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        """`publisher` and `feed` are started and stopped by whoever made them. `every_s`: 0 is never."""
        self._publisher = publisher
        self._feed = feed
        self._every_s = every_s
        self._clock_ms = clock_ms
        self._door = secrets.token_hex(6)
        self._flights = Flights()
        self._number = random.randrange(len(probe.STUDENTS))  # noqa: S311 -- so that processes differ
        self._viewer: Viewer | None = None
        self._error = ""
        self._task: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        if self._every_s:
            self._task = asyncio.create_task(self._run(), name="canary")

    async def stop(self) -> None:
        await ended(self._task)
        if self._viewer is not None:
            self._feed.leave(self._viewer)

    @property
    def found(self) -> Round | None:
        """None: there are no probes."""
        if not self._every_s:
            return None
        return Round(self._every_s, self._flights.age_s(time.monotonic()), self._flights.latency_s, self._error)

    async def _run(self) -> NoReturn:
        was_late = False
        while True:
            try:
                self._watch()
                await self._send()
            except Exception:  # a fault of ours: probes that end would look like everything else failing
                log.exception("a probe failed; the next one is sent all the same")
            found = self.found
            if found is not None and found.is_late != was_late:  # said once
                was_late = found.is_late
                if was_late:
                    log.error("probes do not come back", age_s=round(found.age_s, 1), error=found.error)
                else:
                    log.info("probes come back again", latency_s=found.latency_s)
            telemetry.PROBE_AGE.set(self._flights.age_s(time.monotonic()))
            await asyncio.sleep(self._every_s * random.uniform(1, 1.1))  # noqa: S311 -- jitter

    def _watch(self) -> None:
        """All of their scopes, from now on: subscribed anew where it was cut off."""
        if self._viewer is None:
            self._viewer = self._feed.join(self)
            for scope in probe.SCOPES:
                self._feed.subscribe(self._viewer, scope, None, None)

    async def _send(self) -> None:
        now_ms = self._clock_ms()
        self._number += 1
        self._flights.sent(now_ms, time.monotonic())
        try:
            await self._publisher.publish_now(probe.event(str(uuid.uuid4()), self._door, self._number, now_ms))
            self._error = ""
        except PublisherAwayError as error:
            self._error = str(error)

    # --- what its viewer is given ---

    def write(self, data: bytes) -> None:
        for payload in framing.payloads(data):
            frame = frames.decode(payload)
            if isinstance(frame, Update | Snapshot):
                self._read(frame)

    def end(self, code: int, reason: str, last: bytes = b"") -> None:  # noqa: ARG002 -- it joins again
        self._viewer = None

    def _read(self, frame: Update | Snapshot) -> None:
        for sent_ms in probe.sent_ms(frame.values, self._door):
            latency_s = self._flights.seen(sent_ms, time.monotonic())
            if latency_s is not None:
                telemetry.PROBE_LATENCY.observe(latency_s)
        telemetry.PROBE_AGE.set(self._flights.age_s(time.monotonic()))
        if self._viewer is not None:  # behind this write, which is not over yet
            asyncio.get_running_loop().call_soon(self._feed.acknowledge, self._viewer, frame.scope, frame.offset)
