"""One subscription of this process to Redis, for all its viewers: what is published goes to the fan-out.

A scope is subscribed with its first viewer and unsubscribed with its last. It is read whole each time its subscription
is confirmed, whether first or after a reconnect, and each time an update does not follow on the one before.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, NoReturn

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway import telemetry
from gateway.live.delivery import BOUNDS, Bounds, Delivery
from gateway.live.fanout import FanOut
from gateway.live.latency import Latency
from gateway.live.position import Metrics, Place
from gateway.live.reader import Reader
from gateway.live.subscription import Subscription
from gateway.live.traced import Traced
from gateway.live.viewer import Outlet, Viewer
from traces.tracer import OFF, Tracer
from wire import channels, frames
from wire.frames import Update

log = structlog.get_logger(__name__)

# A viewer is told within 2 s that Redis is away, so a Redis that hangs must be found out sooner: it is silent for
# SILENCE_MAX_S, or a command of ours is not answered within TIMEOUT_S.
PING_EVERY_S = 0.4
SILENCE_MAX_S = 1.2
TIMEOUT_S = 1.0

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0  # a viewer sees stale values for no longer than this after Redis is back

READ_AT_ONCE = 100  # scopes: Redis is busy with it for about a millisecond

_ALWAYS = channels.live("")  # nobody's channel: holds the subscription, and so the heartbeat, while nobody watches


class Feed:
    def __init__(self, redis_url: str, bounds: Bounds = BOUNDS, tracer: Tracer = OFF) -> None:
        """Opens nothing."""
        # No socket_timeout: redis-py keeps it by asyncio.wait_for, which before Python 3.12 swallows the cancelling of
        # what has just ended, and then `stop` would wait for ever.
        timeouts = {"socket_timeout": None, "socket_connect_timeout": TIMEOUT_S}
        # protocol 2: redis-py makes a text of each push message of protocol 3, for a log that nobody reads.
        self._links = redis.ConnectionPool.from_url(redis_url, **timeouts, retry=Retry(NoBackoff(), 0), protocol=2)
        # A read is tried twice: its connection may be older than Redis's restart.
        self._reader = Reader(redis.from_url(redis_url, **timeouts, retry=Retry(NoBackoff(), 1)))
        self._delivery = Delivery(bounds, self._flushed)
        self._fanout = self._delivery.fanout
        self._latency = Latency()
        self._traced = Traced(tracer, self._fanout)
        self._joined: set[str] = set()  # scopes to subscribe
        self._ours: dict[str, Callable[[], None]] = {}  # scopes that Redis has no part in
        self._changed = asyncio.Event()
        self._due: dict[str, None] = {}  # scopes to read, in order
        self._reads = asyncio.Event()
        self._pause_s = FIRST_PAUSE_S
        self._heard = 0.0  # the loop's time
        self._heard_ms = 0
        self._away_since_ms: int | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False

    async def start(self) -> None:
        """Does not wait for Redis."""
        self._hear()
        self._tasks = [
            asyncio.create_task(self._run(), name="live feed"),
            asyncio.create_task(self._delivery.run(), name="live delivery"),
        ]

    async def stop(self) -> None:
        """Viewers who are still there get nothing more."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
            await asyncio.wait([task])
        await self._reader.aclose()

    @property
    def viewers(self) -> int:
        return self._fanout.viewers

    @property
    def fanout(self) -> FanOut:
        """To be looked at."""
        return self._fanout

    @property
    def due(self) -> int:
        """Scopes that are to be read from Redis."""
        return len(self._due)

    @property
    def away_since_ms(self) -> int | None:
        """Epoch; None: Redis is there."""
        return self._away_since_ms

    def join(self, outlet: Outlet) -> Viewer:
        """Whoever joins must `leave`."""
        return self._fanout.join(outlet, asyncio.get_running_loop().time())

    def leave(self, viewer: Viewer) -> None:
        self._fanout.leave(viewer)
        self._changed.set()

    def subscribe(self, viewer: Viewer, scope: str, metrics: Metrics, place: Place | None) -> None:
        """From now on the viewer is given this scope: what he missed since `place` where that is still known, else a
        snapshot; then what changes. A scope of our own always begins by a snapshot."""
        now_s, away_ms = asyncio.get_running_loop().time(), self._away_since_ms
        if (wanted := self._ours.get(scope)) is not None:
            if self._fanout.subscribe(viewer, scope, now_s, ours=True):
                wanted()
            return
        if self._fanout.subscribe(viewer, scope, now_s, metrics=metrics, place=place, stale_since_ms=away_ms):
            self._joined.add(scope)
            self._changed.set()

    def own(self, scope: str, wanted: Callable[[], None]) -> None:
        """This scope is made here, by who is called by `wanted` when it gets its first viewer, and then `tell`s."""
        self._ours[scope] = wanted

    def watches(self, scope: str) -> bool:
        return self._fanout.watches(scope)

    def tell(self, update: Update) -> None:
        """The whole of a scope of our own, once for all its viewers; it follows on the one told before."""
        self._fanout.tell(update, frames.encode(update))

    def unsubscribe(self, viewer: Viewer, scope: str) -> None:
        self._fanout.unsubscribe(viewer, scope)
        self._changed.set()

    def acknowledge(self, viewer: Viewer, scope: str, offset: int) -> None:
        """The viewer has shown this, and what was written before it."""
        self._fanout.acknowledge(viewer, scope, offset)

    def drained(self) -> None:
        """Some outlet that was full has room again."""
        self._fanout.changed()

    def _flushed(self) -> None:
        if delays_ms := self._latency.written(int(time.time() * 1000)):
            telemetry.observe("gateway", delays_ms)
        self._traced.written()
        if self._fanout.missing:
            self._reads.set()

    async def _run(self) -> None:
        while not self._stopped:  # a task group whose task fails in the moment of a cancellation swallows that
            try:
                await self._session()
            except* (RedisError, OSError) as errors:
                self._lost(_reasons(errors))
            except* Exception as errors:
                log.exception("live updates failed, and start anew")
                self._lost(_reasons(errors))
            await asyncio.sleep(random.uniform(0, self._pause_s))  # noqa: S311 -- jitter, not a secret
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    async def _session(self) -> None:
        """One connection's life. Returns only by raising."""
        async with Subscription(self._links, TIMEOUT_S) as link:
            self._hear()
            await link.subscribe(_ALWAYS)
            self._due.clear()
            self._joined = self._fanout.scopes
            self._changed.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._subscribe(link))
                tasks.create_task(self._listen(link))
                tasks.create_task(self._read())

    async def _subscribe(self, link: Subscription) -> NoReturn:
        """Keeps the subscription to the scopes in use, and asks whether Redis is there when there is nothing to say.

        A scope that has lost its last viewer and found another is subscribed once more: what counts is the
        confirmation, which Redis gives each time, because the scope is read on it.
        """
        loop = asyncio.get_running_loop()
        subscribed: set[str] = set()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_EVERY_S):
                    await self._changed.wait()
            if loop.time() - self._heard > SILENCE_MAX_S:
                raise TimeoutError(f"no answer within {SILENCE_MAX_S:g} s")
            self._changed.clear()
            wanted = self._fanout.scopes
            joined, self._joined = self._joined & wanted, set()
            if gone := subscribed - wanted:
                await link.unsubscribe(*map(channels.live, gone))
            if joined:
                await link.subscribe(*map(channels.live, joined))
            if not gone and not joined:
                await link.ping()
            subscribed = (subscribed - gone) | joined

    async def _listen(self, link: Subscription) -> NoReturn:
        while True:
            message = await link.next()
            self._hear()
            match message.kind:
                case "message":
                    self._published(_scope_of(message.channel), message.data)
                case "subscribe":
                    self._need(_scope_of(message.channel))
                case "pong":
                    self._is_back()

    def _hear(self) -> None:
        self._heard = asyncio.get_running_loop().time()
        self._heard_ms = int(time.time() * 1000)

    def _published(self, scope: str, data: bytes) -> None:
        data, traceparent = frames.untraced(data)
        if traceparent:
            self._traced.take(scope, traceparent)
        try:
            frame = frames.decode(data)
            if not isinstance(frame, Update) or frame.scope != scope:
                raise ValueError("it is no update of this scope")
            followed = self._fanout.update(scope, frame, data)
            self._latency.take(frame, self._heard_ms)
        except ValueError as error:  # msgspec's errors are such
            log.warning("a published update cannot be read; its scope is read instead", scope=scope, error=str(error))
            followed = False
        if not followed:
            self._need(scope)

    def _need(self, scope: str) -> None:
        self._fanout.hold(scope)
        self._due[scope] = None
        self._reads.set()

    async def _read(self) -> NoReturn:
        """Reads the scopes that are due, then what those missed who came back."""
        while True:
            await self._reads.wait()
            self._reads.clear()
            self._due = dict.fromkeys(scope for scope in self._due if scope in self._fanout.scopes)
            while scopes := list(islice(self._due, READ_AT_ONCE)):
                for scope in scopes:
                    del self._due[scope]
                    self._fanout.hold(scope)
                async with asyncio.timeout(TIMEOUT_S):
                    answers = await self._reader.whole(scopes)
                self._is_back()
                for scope, (epoch, offset, points) in zip(scopes, answers, strict=True):
                    if scope in self._due:  # needed again since: the next answer will do
                        continue
                    if not self._fanout.snapshot(scope, epoch, offset, points):
                        self._need(scope)
            for scope, after in self._fanout.missing_after().items():
                async with asyncio.timeout(TIMEOUT_S):
                    missed = await self._reader.missed(scope, after)
                if not self._fanout.missed(scope, *missed):
                    self._need(scope)

    def _lost(self, reasons: str) -> None:
        if self._away_since_ms is None:  # once an outage
            self._away_since_ms = self._heard_ms
            log.warning("Redis is away; live values are stale", error=reasons)
        self._fanout.lost(self._away_since_ms)

    def _is_back(self) -> None:
        self._pause_s = FIRST_PAUSE_S
        if self._away_since_ms is not None:
            self._away_since_ms = None
            log.info("Redis is back; live values are fresh")


_BEFORE, _AFTER = channels.live("\0").split("\0")


def _scope_of(channel: str) -> str:
    return channel.removeprefix(_BEFORE).removesuffix(_AFTER)


def _reasons(errors: BaseExceptionGroup[Any]) -> str:
    """The first of them; the others are of the same outage."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
